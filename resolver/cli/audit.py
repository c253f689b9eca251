"""`resolver audit`: read the trail. Checking it is `audit_verify`'s."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from resolver.cli.trail_files import FILES, configured

JSON = dict[str, Any]
_COLOURS = {"ok": "green", "denied": "yellow", "refused": "yellow", "failed": "red"}


@click.group()
def audit() -> None:
    """The audit trail: who did what to which notification."""


@audit.command()
@click.argument("files", nargs=-1, type=FILES)
@click.option("-f", "follow", is_flag=True, help="Wait for more, as tail does.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are.")
def tail(files: tuple[Path, ...], follow: bool, as_json: bool) -> None:
    """Show the trail, one event a line. Without FILES, the one that RESOLVER_AUDIT_LOG names."""
    for line in _lines(files or (configured(),), follow):
        if not line.startswith(b'{"audit":1,'):
            continue
        click.echo(line.rstrip(b"\n") if as_json else _spoken(json.loads(line)))


def _lines(files: tuple[Path, ...], follow: bool) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            yield from file
            if follow and path == files[-1]:
                yield from _more(file, time.sleep)


def _more(file: BinaryIO, sleep: Callable[[float], None]) -> Iterator[bytes]:
    while True:
        if line := file.readline():
            yield line
        else:
            sleep(0.3)


def _spoken(event: JSON) -> str:
    who = event.get("who", {})
    ids = ", ".join(event.get("ids", [])[:5])
    more = f" (+{len(event['ids']) - 5})" if len(event.get("ids", [])) > 5 else ""
    outcome = event.get("outcome", "")
    return "  ".join(
        part
        for part in (
            event["at"],
            click.style(f"{outcome:7}", fg=_COLOURS.get(outcome)),
            f"{who.get('kind', 'system')} {who.get('id', '')}".strip(),
            f"{event.get('surface', 'audit')} {event.get('action', '')}",
            event.get("organization", ""),
            ids + more,
            f"for {event['user']}" if event.get("user") else "",
            f"denied: {', '.join(event['denied'][:5])}" if event.get("denied") else "",
        )
        if part
    )
