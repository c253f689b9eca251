"""`resolver audit`: read the trail. Checking it is `audit_verify`'s."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from resolver.cli.terminal import say, say_parts
from resolver.cli.trail_files import FILES, configured

JSON = dict[str, Any]
_COLOURS = {"ok": "green", "denied": "yellow", "refused": "yellow", "failed": "red"}


@click.group()
def audit() -> None:
    """Show and verify the audit trail: who did what to which notification."""


@audit.command()
@click.argument("files", nargs=-1, type=FILES)
@click.option("-f", "follow", is_flag=True, help="Go on with lines as they are written.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are in the file.")
def tail(files: tuple[Path, ...], follow: bool, as_json: bool) -> None:
    """Show the trail, one event a line. Without FILES, the file of RESOLVER_AUDIT_LOG."""
    for line in _lines(files or (configured(),), follow):
        if not line.startswith(b'{"audit":1,'):
            continue
        if as_json:
            say(_text(line))
        else:
            say_parts(*_spoken(line))


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


def _text(line: bytes) -> str:
    """Of a line that anybody may have written into the file."""
    return line.rstrip(b"\n").decode("utf-8", "backslashreplace")


def _spoken(line: bytes) -> list[tuple[str, str | None]]:
    try:
        return _parts(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return [("not a line that this service writes:", "red"), (_text(line), None)]


def _parts(event: JSON) -> list[tuple[str, str | None]]:
    """Texts and their colours."""
    who = event.get("who", {})
    ids = ", ".join(event.get("ids", [])[:5])
    more = f" (+{len(event['ids']) - 5})" if len(event.get("ids", [])) > 5 else ""
    outcome = event.get("outcome", "")
    parts = (
        (str(event["at"]), None),
        (f"{outcome:7}", _COLOURS.get(outcome)),
        (f"{who.get('kind', 'system')} {who.get('id', '')}".strip(), None),
        (f"{event.get('surface', 'audit')} {event.get('action', '')}", None),
        (str(event.get("organization", "")), None),
        (ids + more, None),
        (f"for {event['user']}" if event.get("user") else "", None),
        (f"denied: {', '.join(event['denied'][:5])}" if event.get("denied") else "", None),
        (f"and {event['unrecorded']} more without a line" if event.get("unrecorded") else "", None),
    )
    return [(text, colour) for text, colour in parts if text]
