"""`resolver keys reindex`: another index key, while nobody is served."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from resolver.audit.signing import Signer, succession, trusted
from resolver.cli.on_record import on_record
from resolver.environment import Environment
from resolver.secret import Secret
from resolver.services import Stores, build_stores
from resolver.settings import Settings, load
from resolver.vault.keyspace import Keyspace
from resolver.vault.reindex import Reindex, Renamed

_NOTICED_SECONDS = 1.5
"""Until the last process has looked at the fingerprint again."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("reindex")
@click.argument("new_key", type=_FILE)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def reindex(new_key: Path, yes: bool, as_json: bool) -> None:
    """Put every record under the name that another index key gives it. NEW_KEY is a file that holds it, as
    RESOLVER_INDEX_KEY would; the settings hold the old one still. Nobody is served until it is done and every
    process was started again with the new key. Stopped half-way, run it again."""
    settings = load()
    fresh = _new_key(new_key)
    stores = build_stores(settings)
    work = Reindex(stores.redis, stores.keyspace, Keyspace(fresh), stores.envelope)
    if work.is_done():
        click.echo("Done already: RESOLVER_INDEX_KEY can be changed now.")
        return
    if not yes:
        click.confirm("Nobody is served until this is done. Begin?", abort=True)
    former = _begin(settings, stores, work, Signer(fresh))
    outcome = _run(stores, work, quiet=as_json)
    work.finish(former)
    said = {kind.name.lower(): outcome[kind] for kind in Renamed}
    click.echo(json.dumps(said) if as_json else "; ".join(f"{outcome[k]} {k.value}" for k in Renamed))
    click.echo("Now set RESOLVER_INDEX_KEY to the new key, and start every process again.", err=True)
    raise SystemExit(bool(outcome[Renamed.UNREADABLE]))


def _new_key(path: Path) -> Secret:
    env = Environment({"NEW_KEY_FILE": str(path)})
    fresh = env.key("NEW_KEY")
    if env.problems:
        raise click.ClickException(env.problems[0])
    return fresh


def _begin(settings: Settings, stores: Stores, work: Reindex, signer: Signer) -> dict[str, str]:
    """What is on its way to Velt, or being erased, has such names in it: it must be over before."""
    on_record(settings, stores, "keys reindex", "", [signer.public_key])
    work.begin()
    time.sleep(_NOTICED_SECONDS)
    if left := work.under_way():
        work.give_up()
        raise click.ClickException(
            f"{left}. Let the worker finish, and see `resolver outbox dead` and `resolver privacy status`. "
            f"Nothing was changed."
        )
    former = trusted(Signer(settings.index_key), work.former_signers())
    return {key: signer.sign(succession(key)) for key in former}


def _run(stores: Stores, work: Reindex, *, quiet: bool) -> Counter[Renamed]:
    total: Counter[Renamed] = Counter()
    with Progress(console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as progress:
        bar = progress.add_task("Renaming", total=int(stores.redis.dbsize()))
        for batch in work.run():
            total += batch
            progress.advance(bar, batch.total())
    return total
