"""`resolver audit`: read the trail, and check that it is whole."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import track

from resolver.audit.signing import Signer
from resolver.audit.verify import Anchored, Problem, Verifier, first_time
from resolver.errors import SettingsError, Unavailable
from resolver.services import Stores, build_stores, public_keys
from resolver.settings import load
from resolver.vault.anchors import Anchors

JSON = dict[str, Any]
FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
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
    for line in _lines(files or (_configured(),), follow):
        if not line.startswith(b'{"audit":1,'):
            continue
        click.echo(line.rstrip(b"\n") if as_json else _spoken(json.loads(line)))


@audit.command()
@click.argument("files", nargs=-1, required=True, type=FILES)
@click.option("--public-key", "keys", multiple=True, help="Whose signatures count; see `keys status`.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(files: tuple[Path, ...], keys: tuple[str, ...], as_json: bool) -> None:
    """Check that nothing was changed, removed, put in or moved. Give all FILES that a process wrote, rotated
    ones too, in any order. With the resolver's settings, its own key alone counts, and Redis says whether the
    ends are there; with --public-key neither is needed."""
    verifier, seen = _verifier(keys)
    for path in track(
        in_order(files),
        "Verifying",
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
    ):
        with path.open("rb") as lines:
            verifier.read(path.name, lines)
    verifier.finish()
    if not seen:
        verifier.notes.append(_NO_ANCHORS)
    _tell(verifier, as_json)
    raise SystemExit(bool(verifier.problems))


_NO_ANCHORS = Problem("redis", "not asked: whether lines are missing at the very end can't be told")


def _verifier(keys: tuple[str, ...]) -> tuple[Verifier, bool]:
    """And whether Redis was asked for its anchors."""
    try:
        settings = load()
    except SettingsError:
        if not keys:
            raise click.ClickException("Needs the resolver's settings, or --public-key.") from None
        return Verifier(keys), False
    try:
        stores = build_stores(settings)
        return Verifier(keys or public_keys(settings, stores), anchors_in(stores)), True
    except Unavailable:
        return Verifier(keys or (Signer(settings.index_key).public_key,)), False


def anchors_in(stores: Stores) -> dict[str, Anchored]:
    kept = Anchors(stores.redis, stores.vault.guard).all()
    return {anchor.chain: Anchored(anchor.seq, anchor.hash, anchor.at) for anchor in kept}


def in_order(files: tuple[Path, ...]) -> list[Path]:
    """As their processes began."""

    def began(path: Path) -> str:
        with path.open("rb") as lines:
            return first_time(lines)

    return sorted(files, key=began)


def _tell(verifier: Verifier, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary(verifier)))
        return
    for name, chain in verifier.chains.items():
        click.echo(
            f"chain {name}: {chain.events} events in {chain.lines} lines, {chain.began} to {chain.last}, "
            f"anchored up to line {chain.anchored}"
        )
    for where, what in verifier.notes:
        click.secho(f"note  {where}: {what}", fg="yellow")
    for where, what in verifier.problems:
        click.secho(f"FAIL  {where}: {what}", fg="red")
    if not verifier.problems:
        click.secho("Whole: nothing was changed, removed, put in or moved.", fg="green")


def summary(verifier: Verifier) -> JSON:
    chains = {
        name: {
            "events": chain.events,
            "lines": chain.lines,
            "from": chain.began,
            "to": chain.last,
            "anchoredUpTo": chain.anchored,
        }
        for name, chain in verifier.chains.items()
    }
    return {
        "whole": not verifier.problems,
        "chains": chains,
        "problems": [{"where": where, "what": what} for where, what in verifier.problems],
        "notes": [{"where": where, "what": what} for where, what in verifier.notes],
    }


def _configured() -> Path:
    path = Path(load().audit_log)
    if not path.is_file():
        raise click.ClickException(
            "RESOLVER_AUDIT_LOG names no file: name the one that your logs are kept in."
        )
    return path


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
            f"denied: {', '.join(event['denied'][:5])}" if event.get("denied") else "",
        )
        if part
    )
