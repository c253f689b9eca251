"""`python -m bench.hops`: through how many of our modules and calls a warm read and an inline add pass."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from flask.testing import FlaskClient

import resolver
from bench import people, sides
from bench.wrk import Request
from resolver.app import create_app
from resolver.config import load
from resolver.sandbox import create_app as create_sandbox
from resolver.sandbox import start
from tests.support import API_KEY, VELT_TOKEN

_OURS = f"{Path(resolver.__file__).parent}/"
_WARM_UPS = 3


@click.command()
@click.option("--list", "listed", is_flag=True, help="Name each module, and how many calls it took.")
def main(listed: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="hops-") as folder, _client(Path(folder)) as client:
        (add,) = people.adds(people.notification_id(0))
        for name, request in (("inline add", add), ("warm read", people.read_of([0]))):
            for _ in range(_WARM_UPS):
                _send(client, request)
            found = _calls(lambda request=request: _send(client, request))  # type: ignore[misc]
            click.echo(f"{name}: {len(found)} modules, {found.total()} calls")
            if listed:
                for module, calls in found.most_common():
                    click.echo(f"  {calls:4} {module}")


@contextmanager
def _client(folder: Path) -> Iterator[FlaskClient]:
    with sides.redis(folder / "redis") as server, start(create_sandbox(API_KEY, VELT_TOKEN)) as velt:
        given = sides.variables(folder, server, VELT_API_URL=velt.url, RESOLVER_LOG_LEVEL="warning")
        yield create_app(load(given)).test_client(use_cookies=False)


def _send(client: FlaskClient, request: Request) -> None:
    reply = client.post(request.path, json=request.body, headers=request.headers)
    if reply.status_code != 200:
        raise click.ClickException(f"{request.path}: {reply.status_code}")


def _calls(work: Callable[[], None]) -> Counter[str]:
    """Calls of functions of ours by module, on the thread that serves the request."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(_OURS) and "/sandbox/" not in file:
            found[file.removeprefix(_OURS)] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


if __name__ == "__main__":
    main()
