"""`resolver serve`: gunicorn with a worker beside it."""

from __future__ import annotations

import os
import sys

import click

from resolver.cli.terminal import counted, say
from resolver.config import load


@click.command()
@click.option("--bind", help="host:port or unix:/path, instead of RESOLVER_BIND.")
@click.option("--workers", type=click.IntRange(1), help="Web processes, instead of WEB_CONCURRENCY.")
def serve(bind: str | None, workers: int | None) -> None:
    """Serve in production: gunicorn, whose master runs a worker beside the web processes. Settings come from
    the environment; `resolver check` checks them."""
    settings = load()
    address, count = bind or settings.bind, workers or settings.web_concurrency
    embedded = settings.worker == "embedded"
    processes = counted(count, "process", "processes")
    say(f"Serving on {address} with {processes}{' and a worker' if embedded else ''}", err=True)
    sys.stderr.flush()
    command = gunicorn_command(address, count, with_worker=embedded)
    # Replace this process, so that a supervisor's signals reach gunicorn.
    os.execv(command[0], command)  # noqa: S606


def gunicorn_command(bind: str, workers: int, *, with_worker: bool = False) -> list[str]:
    settings = "gunicorn_with_worker" if with_worker else "gunicorn_settings"
    return [
        sys.executable,
        *("-m", "gunicorn", "-c", f"python:resolver.ops.{settings}"),
        *("--bind", bind, "--workers", str(workers)),
        "resolver.app:create_app()",
    ]
