"""`resolver keys`: make secrets, rotate master keys."""

from __future__ import annotations

import base64
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import click

from resolver.audit.signing import Signer
from resolver.cli.auditing import audit_command, audit_unchecked, open_trail, operator_event
from resolver.cli.terminal import counted, progress_bar, say, say_json
from resolver.config import Settings, load
from resolver.outbox.rewriting import CommandRotation
from resolver.store.database_identity import Adoption
from resolver.store.reindex import in_flight
from resolver.store.rotation import Resealed, Rotation
from resolver.wiring import Stores, build_stores, is_unknown_signer, note_signers, vouched_keys

_MOST_PASSES = 5


@click.group()
def keys() -> None:
    """Make and manage keys."""


@keys.command("new")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def new(as_json: bool) -> None:
    """Print a new set of secrets for an environment file. They are shown once and stored nowhere."""
    fresh = fresh_secrets()
    if as_json:
        say_json(fresh)
    else:
        say(*(f"{name}={value}" for name, value in fresh.items()))


@keys.command("status")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(as_json: bool) -> None:
    """Show what each master key seals, and which key can be withdrawn."""
    settings = load()
    stores = build_stores(settings)
    found = key_usage(settings, stores)
    own, *former = vouched_keys(settings, stores)
    if as_json:
        say_json({"keys": found, "publicKey": own, "formerPublicKeys": former})
        return
    for name, used in found.items():
        since = f" In use since {used['since']}." if used["since"] else ""
        say(f"{name}: {usage_as_text(used)}. {used['advice']}{since}")
    say(f"The audit trail and erasure certificates are signed by {own}")
    for key in former:
        say(f"Signatures of a former RESOLVER_SIGNING_KEY are accepted: {key}")


@keys.command("rotate")
@click.option("--rate", default=5000, show_default=True, type=click.IntRange(1), help="Records per second.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def rotate(rate: int, as_json: bool) -> None:
    """Seal everything again with the first of RESOLVER_MASTER_KEYS, while requests are served. If the command
    is interrupted, run it again: it skips what is done. Exit status 1 if something doesn't open with these
    keys."""
    settings = load()
    stores = build_stores(settings)
    audit_command(settings, stores, "keys rotate", "", [next(iter(settings.master_keys))])
    stores.history.note_key(next(iter(settings.master_keys)))
    stores.erasure_store.reseal()
    stores.idempotency.reseal()
    stores.unfinished_deletions.reseal()
    outcome: Counter[Resealed] = Counter()
    for _ in range(_MOST_PASSES):
        done = _pass(stores, rate, quiet=as_json)
        outcome = done + Counter({Resealed.DONE: outcome[Resealed.DONE]})
        # A process that was not restarted yet may still seal with the old key: the next pass finds that.
        if not done[Resealed.DONE] and not done[Resealed.OVERTAKEN]:
            break
    said = {kind.name.lower(): outcome[kind] for kind in Resealed}
    if as_json:
        say_json(said)
    else:
        say("; ".join(f"{outcome[kind]} {kind.value}" for kind in Resealed))
    raise SystemExit(bool(outcome[Resealed.UNREADABLE]))


def _pass(stores: Stores, rate: int, *, quiet: bool) -> Counter[Resealed]:
    rotation, commands = _rotations(stores)
    total: Counter[Resealed] = Counter()
    with progress_bar(quiet=quiet) as progress:
        bar = progress.add_task("Resealing", total=rotation.size())
        for batch in _throttled(rotation.run(), rate):
            total += batch
            progress.advance(bar, batch.total())
        for batch in commands.run():
            total += batch
    return total


def _throttled(batches: Iterator[Counter[Resealed]], rate: int) -> Iterator[Counter[Resealed]]:
    """Limit the rate. Skipped records cost almost nothing and aren't counted."""
    for batch in batches:
        started = time.monotonic()
        yield batch
        left = batch[Resealed.DONE] / rate - (time.monotonic() - started)
        time.sleep(max(0.0, left))


def key_usage(settings: Settings, stores: Stores) -> dict[str, dict[str, str | int]]:
    """Count what is sealed under each master key, by the key's id, and say what may be done with the key."""
    rotation, commands = _rotations(stores)
    counts = {
        "records": rotation.record_key_ids(),
        "commands": commands.key_ids(),
        "revocations": rotation.revocation_key_ids(),
        "erasureEntries": stores.erasure_store.key_ids(),
        "idempotencySecrets": stores.idempotency.key_ids(),
        "unfinishedDeletions": stores.unfinished_deletions.key_ids(),
    }
    since = stores.history.keys_since()
    masters = list(settings.master_keys)
    names = dict.fromkeys([*masters, *(name for found in counts.values() for name in found)])
    usage: dict[str, dict[str, str | int]] = {}
    for name in names:
        used = {kind: found[name] for kind, found in counts.items()}
        usage[name] = {
            **used,
            "since": since.get(name, ""),
            "advice": _advice(name, masters, any(used.values())),
        }
    return usage


_KINDS = {
    "records": "record",
    "commands": "command",
    "revocations": "revocation",
    "erasureEntries": "erasure entry",
    "idempotencySecrets": "idempotency secret",
    "unfinishedDeletions": "unfinished deletion",
}
_SEVERAL = {"erasureEntries": "erasure entries"}


def usage_as_text(used: Mapping[str, str | int]) -> str:
    """List the kinds with a count; "nothing" if there are none."""
    parts = [
        counted(int(used[kind]), one, _SEVERAL.get(kind, "")) for kind, one in _KINDS.items() if used[kind]
    ]
    return ", ".join(parts) or "nothing"


def is_used(used: Mapping[str, str | int]) -> bool:
    return any(used[kind] for kind in _KINDS)


def _advice(name: str, masters: list[str], used: bool) -> str:
    if name not in masters:
        return "NOT AMONG RESOLVER_MASTER_KEYS: nothing of this opens."
    if name == masters[0]:
        return "Seals."
    return "Opens; `resolver keys rotate` first." if used else "Can be withdrawn."


def _rotations(stores: Stores) -> tuple[Rotation, CommandRotation]:
    parts = stores.redis, stores.store.guard, stores.envelope
    return Rotation(*parts), CommandRotation(*parts)


def fresh_secrets() -> dict[str, str]:
    key_id = datetime.now(UTC).strftime("k%Y%m%d")
    return {
        "RESOLVER_MASTER_KEYS": f"{key_id}:{_key()}",
        "RESOLVER_INDEX_KEY": _key(),
        "RESOLVER_SIGNING_KEY": _key(),
        "RESOLVER_CALLER_TOKENS": f"backend:{secrets.token_urlsafe(32)}",
        "RESOLVER_TOKEN_SECRET": secrets.token_urlsafe(48),
    }


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@keys.command()
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def adopt(yes: bool, as_json: bool) -> None:
    """Move the Redis database to this VELT_API_KEY, and accept this RESOLVER_SIGNING_KEY. A database belongs
    to one environment at Velt; a resolver with another API key answers 503. Stop the processes with the
    former key first: they notice the change only after up to a second, and serve and send until then. Queued
    commands are sent to the new environment from then on."""
    settings = load()
    stores = build_stores(settings)
    adoption = Adoption(stores.redis, stores.identity)
    needed = adoption.is_needed()
    if needed:
        left = in_flight(stores.redis) or "nothing waits"
        if not yes:
            click.confirm(
                f"Move this database to the environment of this VELT_API_KEY ({left})? Processes with the "
                "former key answer 503 within a second.",
                abort=True,
                err=True,
            )
        # Closing the trail stores its checkpoint in Redis, which this process may do only after the adoption.
        with open_trail(settings, stores) as trail:
            trail.record(operator_event("keys adopt", "", [stores.identity.environment]))
            adoption.adopt()
    elif is_unknown_signer(settings, stores):
        if not yes:
            click.confirm("Sign with a key that this database doesn't know?", abort=True, err=True)
        audit_unchecked(settings, stores, "keys adopt", "", [Signer(settings.signing_keys).public_key])
    note_signers(settings, stores, adopts=True)
    said = "The database belongs to this VELT_API_KEY " + ("now." if needed else "already.")
    if as_json:
        say_json({"adopted": needed})
    else:
        say(said)
