"""`resolver audit verify`: is the trail whole, and what of that couldn't be looked at."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import track

from resolver.audit.verify import KnownCheckpoint, Verifier
from resolver.cli.signers import counting, public_key_option
from resolver.cli.terminal import say, say_json
from resolver.cli.trail_files import FILES, configured, in_order
from resolver.cli.words import counted
from resolver.config import load
from resolver.errors import SettingsError, Unavailable
from resolver.store.checkpoints import Checkpoints
from resolver.wiring import Stores, build_stores

JSON = dict[str, Any]
UNSIGNED_STATUS = 3
"""Nothing contradicts what was written, and nothing vouches for all of it."""
_ENDS = "whether lines are missing at the very end of a chain, or chains as a whole"


class Ends(NamedTuple):
    """What Redis remembers of how long the chains are; when it wasn't asked, why."""

    checkpoints: Mapping[str, KnownCheckpoint] = {}
    unasked: str = ""
    as_meant: bool = True


@click.command("verify")
@click.argument("files", nargs=-1, type=FILES)
@public_key_option
@click.option(
    "--offline", is_flag=True, help="Don't ask Redis: lines missing at the end of a chain aren't noticed."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(files: tuple[Path, ...], keys: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Check that no line of the audit trail was changed, removed, inserted or moved. Give all FILES, rotated
    ones and those of operators' commands too, in any order; without FILES, the file of RESOLVER_AUDIT_LOG is
    read. With the resolver's settings only its own key's signatures are accepted, and Redis says how long
    each chain was. With --public-key neither settings nor Redis are needed."""
    believed = counting(keys)
    ends = Ends(unasked="--offline was given") if offline else _ends()
    verifier = Verifier(believed, ends.checkpoints)
    for path in track(
        in_order(files or (configured(),)),
        "Verifying",
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
    ):
        with path.open("rb") as lines:
            verifier.read(path.name, lines)
    verifier.finish()
    _tell(verifier, ends, as_json)
    raise SystemExit(_exit_status(verifier, ends))


def _exit_status(verifier: Verifier, ends: Ends) -> int:
    if verifier.problems or not ends.as_meant:
        return 1
    return UNSIGNED_STATUS if verifier.unsigned else 0


def _ends() -> Ends:
    """Whoever has a key and no settings has no Redis to ask, and knows it."""
    try:
        return Ends(checkpoints_in(build_stores(load())))
    except SettingsError:
        return Ends(unasked="there are no settings that name it")
    except Unavailable as error:
        return Ends(unasked=getattr(error, "reason", str(error)), as_meant=False)


def checkpoints_in(stores: Stores) -> dict[str, KnownCheckpoint]:
    kept = Checkpoints(stores.redis, stores.store.guard).all()
    return {anchor.chain: KnownCheckpoint(anchor.seq, anchor.hash, anchor.at) for anchor in kept}


def _tell(verifier: Verifier, ends: Ends, as_json: bool) -> None:
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
        say(f"Not checked: {_ENDS}. Redis remembers that, and wasn't asked: {ends.unasked}.", fg="yellow")
    if not ends.as_meant:
        say("Run it again when Redis answers, or with --offline to do without.", fg="yellow")
    if verifier.unsigned and not verifier.problems:
        say("Nothing contradicts the rest; the unsigned lines prove nothing.", fg="yellow")
    elif not verifier.problems:
        whole = "What is in these files is as it was written." if ends.unasked else _WHOLE
        say(whole, fg="green")


_WHOLE = "Whole: nothing was changed, removed, put in or moved."


def summary(verifier: Verifier, ends: Ends) -> JSON:
    """`whole` is null when nothing was found, and not all was looked at or not all is signed."""
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
