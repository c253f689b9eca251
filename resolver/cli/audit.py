"""`resolver audit`: show and verify the audit trail."""

from __future__ import annotations

import json
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click
from rich.console import Console
from rich.progress import track

from resolver.audit.verify import KnownCheckpoint, Verifier, first_time
from resolver.cli.options import accepted_keys, public_key_option
from resolver.cli.terminal import counted, say, say_json, say_parts
from resolver.config import load
from resolver.errors import SettingsError, Unavailable
from resolver.store.checkpoints import Checkpoints
from resolver.wiring import Stores, build_stores

JSON = dict[str, Any]
FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_CHAIN = re.compile(rb'\{"audit":1,"chain":"([0-9a-f]{1,64})"')
_COLOURS = {"ok": "green", "denied": "yellow", "refused": "yellow", "failed": "red"}
UNSIGNED_STATUS = 3
"""Exit status: no problem was found, but some lines are not covered by a signature."""
_ENDS = "whether lines are missing at the very end of a chain, or chains as a whole"
_WHOLE = "Whole: no line was changed, removed, inserted or moved."


@click.group()
def audit() -> None:
    """Show and verify the audit trail: who did what to which notification."""


@audit.command()
@click.argument("files", nargs=-1, type=FILES)
@click.option("-f", "follow", is_flag=True, help="Wait for new lines and show them.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are in the file.")
def tail(files: tuple[Path, ...], follow: bool, as_json: bool) -> None:
    """Show the audit trail, one event per line. Without FILES, the file of RESOLVER_AUDIT_LOG is read."""
    for line in _lines(files or (configured(),), follow):
        if not line.startswith(b'{"audit":1,'):
            continue
        if as_json:
            say(_text(line))
        else:
            say_parts(*_formatted(line))


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
    """Decode a line, which may hold any bytes."""
    return line.rstrip(b"\n").decode("utf-8", "backslashreplace")


def _formatted(line: bytes) -> list[tuple[str, str | None]]:
    try:
        return _parts(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return [("not a line of this service:", "red"), (_text(line), None)]


def _parts(event: JSON) -> list[tuple[str, str | None]]:
    """Return texts with their colours."""
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


def configured() -> Path:
    path = Path(load().audit_log)
    if not path.is_file():
        raise click.ClickException(
            "RESOLVER_AUDIT_LOG is not a file: give the file that your logs are kept in."
        )
    return path


def in_order(files: tuple[Path, ...]) -> list[Path]:
    """Sort files by the time of their first line."""

    def began(path: Path) -> str:
        with path.open("rb") as lines:
            return first_time(lines)

    return sorted(files, key=began)


def chains_in(path: Path) -> set[str]:
    """Return the chains with a line in a file; none for a pipe, which would block."""
    if not stat.S_ISREG(path.stat().st_mode):
        return set()
    with path.open("rb") as lines:
        return {found[1].decode() for line in lines if (found := _CHAIN.match(line))}


class Ends(NamedTuple):
    """The checkpoints in Redis, which say how long each chain is; or why Redis wasn't asked."""

    checkpoints: Mapping[str, KnownCheckpoint] = {}
    unasked: str = ""
    is_complete: bool = True


@audit.command()
@click.argument("files", nargs=-1, type=FILES)
@public_key_option
@click.option(
    "--offline", is_flag=True, help="Don't ask Redis. Lines missing at the end of a chain are not noticed."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(files: tuple[Path, ...], keys: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Check that no line of the audit trail was changed, removed, inserted or moved. Give all FILES, rotated
    ones and those of operators' commands too, in any order; without FILES, the file of RESOLVER_AUDIT_LOG is
    read. With the resolver's settings only its own key's signatures are accepted, and Redis says how long
    each chain was. With --public-key neither settings nor Redis are needed."""
    accepted = accepted_keys(keys)
    ends = Ends(unasked="--offline was given") if offline else _read_ends()
    verifier = Verifier(accepted, ends.checkpoints)
    for path in track(
        in_order(files or (configured(),)),
        "Verifying",
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
    ):
        with path.open("rb") as lines:
            verifier.read(path.name, lines)
    verifier.finish()
    _print(verifier, ends, as_json)
    raise SystemExit(_exit_status(verifier, ends))


def _exit_status(verifier: Verifier, ends: Ends) -> int:
    if verifier.problems or not ends.is_complete:
        return 1
    return UNSIGNED_STATUS if verifier.unsigned else 0


def _read_ends() -> Ends:
    """Read the checkpoints. Without settings there is no Redis to ask, which is not an error."""
    try:
        return Ends(checkpoints_in(build_stores(load())))
    except SettingsError:
        return Ends(unasked="there are no settings that name it")
    except Unavailable as error:
        return Ends(unasked=getattr(error, "reason", str(error)), is_complete=False)


def checkpoints_in(stores: Stores) -> dict[str, KnownCheckpoint]:
    kept = Checkpoints(stores.redis, stores.store.guard).all()
    return {anchor.chain: KnownCheckpoint(anchor.seq, anchor.hash, anchor.at) for anchor in kept}


def _print(verifier: Verifier, ends: Ends, as_json: bool) -> None:
    if as_json:
        say_json(summary(verifier, ends))
        return
    for name, chain in verifier.chains.items():
        say(
            f"chain {name}: {counted(chain.events, 'event')} in {counted(chain.lines, 'line')}, "
            f"{chain.began} to {chain.last}, anchored up to line {chain.signed_to}"
        )
    for where, what in verifier.notes:
        say(f"note  {where}: {what}", fg="yellow")
    for where, what in verifier.unsigned:
        say(f"UNSIGNED  {where}: {what}", fg="yellow")
    for where, what in verifier.problems:
        say(f"FAIL  {where}: {what}", fg="red")
    if ends.unasked:
        say(f"Not checked: {_ENDS}. Redis knows that, and was not asked: {ends.unasked}.", fg="yellow")
    if not ends.is_complete:
        say("Run the command again when Redis answers, or use --offline.", fg="yellow")
    if verifier.unsigned and not verifier.problems:
        say("The signed lines are unchanged; the unsigned lines prove nothing.", fg="yellow")
    elif not verifier.problems:
        whole = "The lines in these files are unchanged." if ends.unasked else _WHOLE
        say(whole, fg="green")


def summary(verifier: Verifier, ends: Ends) -> JSON:
    """Summarize. `whole` is null if no problem was found, but not everything was checked or signed."""
    chains = {
        name: {
            "events": chain.events,
            "lines": chain.lines,
            "from": chain.began,
            "to": chain.last,
            "anchoredUpTo": chain.signed_to,
        }
        for name, chain in verifier.chains.items()
    }
    return {
        "whole": False if verifier.problems else None if ends.unasked or verifier.unsigned else True,
        "notChecked": [f"{_ENDS} ({ends.unasked})"] if ends.unasked else [],
        "chains": chains,
        "problems": [{"where": where, "what": what} for where, what in verifier.problems],
        "unsigned": [{"where": where, "what": what} for where, what in verifier.unsigned],
        "notes": [{"where": where, "what": what} for where, what in verifier.notes],
    }
