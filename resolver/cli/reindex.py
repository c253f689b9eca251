"""`resolver keys reindex`: another index key, while nobody is served."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from resolver.audit.signing import Signer, succession, trusted
from resolver.cli.on_record import put_on_record
from resolver.cli.progress import progress_bar
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.config.environment import Environment
from resolver.config.secret import Secret
from resolver.errors import ErasuresNotReplayed
from resolver.store.database_identity import Identity
from resolver.store.keyspace import Keyspace
from resolver.store.reindex import Reindex, Renamed, in_flight
from resolver.wiring import Stores, build_stores

_NOTICED_SECONDS = 1.5
"""Until the last process has looked at the identity again."""
_NAMED = 20
_HOW_TO_GO_ON = (
    "{} records do not open, so nobody can tell their new names; nobody is served until that is mended. Put "
    "the master keys that sealed them into RESOLVER_MASTER_KEYS, and run it again. What no key opens, "
    "remove from Redis: {}"
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("reindex")
@click.argument("new_key", type=_FILE)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def reindex(new_key: Path, yes: bool, as_json: bool) -> None:
    """Change RESOLVER_INDEX_KEY, the key that names records: every record is renamed. NEW_KEY is a file with
    the new key; the settings still hold the old one. Every request is answered 503 until this is done and
    every process was started again with the new key. Stopped half-way, run it again."""
    settings = load()
    fresh = _new_key(new_key)
    stores = build_stores(settings)
    keyspace = Keyspace(fresh)
    after = Identity.of(keyspace, settings.velt_api_key)
    work = Reindex(stores.redis, keyspace, stores.envelope, stores.identity, after)
    if work.is_done():
        say("Done already: RESOLVER_INDEX_KEY can be changed now.")
        return
    if not yes:
        click.confirm("Nobody is served until this is done. Begin?", abort=True)
    _require_replayed(stores, work)
    put_on_record(settings, stores, "keys reindex", "", [Signer(fresh).public_key])
    _begin(stores, work)
    outcome = _run(stores, work, quiet=as_json)
    said = {kind.name.lower(): outcome[kind] for kind in Renamed}
    if as_json:
        say_json(said)
    else:
        say("; ".join(f"{outcome[kind]} {kind.value}" for kind in Renamed))
    if work.unreadable:
        some = ", ".join(work.unreadable[:_NAMED]) + (" …" if len(work.unreadable) > _NAMED else "")
        raise click.ClickException(_HOW_TO_GO_ON.format(len(work.unreadable), some))
    work.finish(_vouched_for(work, Signer(settings.index_key), Signer(fresh)))
    say("Now set RESOLVER_INDEX_KEY to the new key, and start every process again.", err=True)


def _new_key(path: Path) -> Secret:
    env = Environment({"NEW_KEY_FILE": str(path)})
    fresh = env.key("NEW_KEY")
    if env.problems:
        raise click.ClickException(env.problems[0])
    return fresh


def _require_replayed(stores: Stores, work: Reindex) -> None:
    """Under another key no certificate finds anybody."""
    try:
        if stores.certificates:
            stores.certificates.check(stores.redis)
    except ErasuresNotReplayed:
        work.cancel()  # begun in the backup already, it would keep the replay out
        raise


def _begin(stores: Stores, work: Reindex) -> None:
    """What is on its way to Velt, or being erased, has such names in it: it must be over before."""
    if not work.begin():
        return  # it was, when the first record was renamed, and nobody was served since
    time.sleep(_NOTICED_SECONDS)
    if (left := in_flight(stores.redis)) and work.cancel():
        raise click.ClickException(
            f"{left}. Let the worker finish, and see `resolver outbox dead` and `resolver privacy status`. "
            f"Nothing was changed."
        )
    work.start_renaming()


def _vouched_for(work: Reindex, old: Signer, new: Signer) -> dict[str, str]:
    """Whom the old key trusted; whom the new one does already, when a run was stopped at its very end."""
    found = work.former_signers()
    former = {*trusted(old, found), *trusted(new, found)} - {new.public_key}
    return {key: new.sign(succession(key)) for key in former}


def _run(stores: Stores, work: Reindex, *, quiet: bool) -> Counter[Renamed]:
    total: Counter[Renamed] = Counter()
    with progress_bar(quiet=quiet) as progress:
        bar = progress.add_task("Renaming", total=int(stores.redis.dbsize()))
        for batch in work.run():
            total += batch
            progress.advance(bar, batch.total())
    return total
