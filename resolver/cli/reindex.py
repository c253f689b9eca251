"""`resolver keys reindex`: change the lookup key while requests are refused."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from resolver.cli.auditing import audit_unchecked
from resolver.cli.terminal import progress_bar, say, say_json
from resolver.config import load
from resolver.config.environment import Environment
from resolver.config.secret import Secret
from resolver.errors import ErasuresNotReplayed
from resolver.store.database_identity import Identity
from resolver.store.keyspace import Keyspace
from resolver.store.reindex import Reindex, Renamed, in_flight
from resolver.wiring import Stores, build_stores

_NOTICED_SECONDS = 1.5
"""After this time, every process has read the database identity again."""
_NAMED = 20
_HOW_TO_GO_ON = (
    "{} records do not open, so they can't be renamed; requests are refused until that is fixed. Add the "
    "master keys that sealed them to RESOLVER_MASTER_KEYS, and run the command again. Remove records that no "
    "key opens from Redis: {}"
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("reindex")
@click.argument("new_key", type=_FILE)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def reindex(new_key: Path, yes: bool, as_json: bool) -> None:
    """Change RESOLVER_INDEX_KEY, the key that names records: every record is renamed. NEW_KEY is a file with
    the new key; the settings still hold the old one. Every request is answered 503 until this is done and
    every process is restarted with the new key. If the command is interrupted, run it again."""
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
        click.confirm("Requests are refused until this is done. Begin?", abort=True)
    _require_replayed(stores, work)
    audit_unchecked(settings, stores, "keys reindex", "", [keyspace.fingerprint()])
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
    work.finish()
    say("Now set RESOLVER_INDEX_KEY to the new key, and restart every process.", err=True)


def _new_key(path: Path) -> Secret:
    env = Environment({"NEW_KEY_FILE": str(path)})
    fresh = env.key("NEW_KEY")
    if env.problems:
        raise click.ClickException(env.problems[0])
    return fresh


def _require_replayed(stores: Stores, work: Reindex) -> None:
    """Refuse while erasures must be replayed: under another lookup key, no certificate finds a person."""
    try:
        if stores.certificates:
            stores.certificates.check(stores.redis)
    except ErasuresNotReplayed:
        work.cancel()  # begun in the backup already, it would keep the replay out
        raise


def _begin(stores: Stores, work: Reindex) -> None:
    """Close the database, and require that no command is queued and no erasure open: both hold old names."""
    if not work.begin():
        return  # an interrupted run had checked this, and requests were refused since
    time.sleep(_NOTICED_SECONDS)
    if (left := in_flight(stores.redis)) and work.cancel():
        raise click.ClickException(
            f"{left}. Let the worker finish, and see `resolver outbox dead` and `resolver privacy status`. "
            f"Nothing was changed."
        )
    work.start_renaming()


def _run(stores: Stores, work: Reindex, *, quiet: bool) -> Counter[Renamed]:
    total: Counter[Renamed] = Counter()
    with progress_bar(quiet=quiet) as progress:
        bar = progress.add_task("Renaming", total=int(stores.redis.dbsize()))
        for batch in work.run():
            total += batch
            progress.advance(bar, batch.total())
    return total
