"""`resolver outbox`: queued commands and dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import asdict
from datetime import UTC, datetime

import click
from msgspec.structs import replace

from resolver.cli.auditing import audit_command
from resolver.cli.terminal import printable, say, say_json
from resolver.config import load
from resolver.outbox.dead_letters import DeadLetter, Retried
from resolver.outbox.registration import registers
from resolver.outbox.waiting import Dropped, WaitingCommand
from resolver.store.command import Command, Kind
from resolver.store.keyspace import queue_named
from resolver.store.record import DROPPED, Record
from resolver.store.records import Changed
from resolver.wiring import Stores, build_stores


@click.group()
def outbox() -> None:
    """Manage queued commands for Velt, and dead letters: commands that will not be sent any more."""


@outbox.command("status")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(as_json: bool) -> None:
    """Show the number of queued commands, how long the oldest has been due, the number of dead letters, and
    whether a worker is alive."""
    stores = build_stores(load())
    found = {**asdict(stores.outbox.depth()), "worker": stores.outbox.has_live_worker()}
    if as_json:
        say_json(found)
    else:
        say(*(f"{name:10} {value}" for name, value in found.items()))


@outbox.command("dead")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def dead(as_json: bool) -> None:
    """List dead letters with their reasons. Shows ids; commands hold no content."""
    found = [_described(entry) for entry in build_stores(load()).outbox.dead_letters.all()]
    if as_json:
        say_json(found)
        return
    for entry in found:
        say("  ".join(str(value) for value in entry.values()))


@outbox.command("waiting")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def waiting(as_json: bool) -> None:
    """List queued commands for Velt. Shows ids; commands hold no content."""
    for entry in build_stores(load()).outbox.waiting.all():
        described = {"name": entry.name, **_about(entry.command)}
        if as_json:
            say_json(described)
        else:
            say("  ".join(str(value) for value in described.values()))


@outbox.command("retry")
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
def retry(names: tuple[str, ...], every: bool) -> None:
    """Queue dead letters again. NAMES as `outbox dead` lists them."""
    settings = load()
    stores = build_stores(settings)
    done, chosen = 0, list(_chosen(stores, names, every))
    audit_command(settings, stores, "outbox retry", "", [entry.name for entry in chosen])
    for entry in chosen:
        if entry.command is None:
            say(f"{entry.name} cannot be opened with these keys, and stays", err=True)
            continue
        match stores.outbox.dead_letters.retry(entry, entry.command):
            case Retried.DONE:
                done += 1
            case Retried.NOT_HELD:
                say(f"{entry.name} registers a notification that was deleted meanwhile, and stays", err=True)
            case Retried.OVERTAKEN:
                say(f"{entry.name} changed meanwhile: list it again", err=True)
    say(f"{done} queued again")


@outbox.command("drop")
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters.")
def drop(names: tuple[str, ...], every: bool) -> None:
    """Remove dead letters or queued commands. NAMES as `outbox dead` and `outbox waiting` list them. Content
    stays; an add that is repeated with its Idempotency-Key is refused from then on."""
    settings = load()
    stores = build_stores(settings)
    chosen = _dropped(stores, names, every)
    audit_command(settings, stores, "outbox drop", "", [entry.name for entry in chosen])
    # Read this after the list: an erasure notes a record before it queues a command about it.
    erased = _records_being_erased(stores)
    problems = {entry.name: _drop(stores, entry, erased) for entry in chosen}
    for name, problem in problems.items():
        if problem:
            say(f"{name} {problem}", err=True)
    say(f"{sum(not problem for problem in problems.values())} dropped")


def _drop(stores: Stores, entry: DeadLetter | WaitingCommand, erased: Set[str]) -> str:
    """Drop an entry. Return why it wasn't possible, or an empty string."""
    command = entry.command
    if (command is None or command.kind is not Kind.REGISTER) and queue_named(entry.name).record in erased:
        # Without it, the erasure certificate would wrongly say that Velt had accepted it.
        return "belongs to an open erasure, and stays: see resolver privacy status"
    if isinstance(entry, DeadLetter):
        outcome = Dropped(stores.outbox.dead_letters.discard(entry))
    else:
        outcome = stores.outbox.waiting.drop(entry)
    match outcome:
        case Dropped.BEING_SENT:
            return "is being sent just now: list it again"
        case Dropped.OVERTAKEN:
            return "changed meanwhile: list it again"
    if command and command.kind is Kind.REGISTER:
        _mark_dropped(stores, command)
    return ""


def _records_being_erased(stores: Stores) -> Set[str]:
    return {
        name for order in stores.erasure_store.under_way() for name in stores.erasure_store.touched(order)
    }


def _dropped(stores: Stores, names: tuple[str, ...], every: bool) -> list[DeadLetter | WaitingCommand]:
    """Choose the entries to drop, last first: dropping one renames the entries behind it in its queue."""
    of_waiting = {name for name in names if "." in name}
    found = [entry for entry in stores.outbox.waiting.all() if entry.name in of_waiting] if of_waiting else []
    _ensure_found(of_waiting, {entry.name for entry in found})
    dead = tuple(name for name in names if name not in of_waiting)
    given_up = list(_chosen(stores, dead, every)) if dead or every or not names else []
    return [*reversed(found), *given_up]


def _mark_dropped(stores: Stores, command: Command) -> None:
    """Mark the record, so that a repeated add isn't answered with `registered`."""

    def mark(record: Record) -> Changed:
        is_meant = record.request and registers(command, record)
        return (replace(record, request=DROPPED) if is_meant else record), None

    stores.store.change(command.data.get("organizationId", ""), command.notification, mark)


def _chosen(stores: Stores, names: tuple[str, ...], every: bool) -> Iterator[DeadLetter]:
    if bool(names) == every:
        raise click.UsageError("Name some, or say --all.")
    found = {entry.name: entry for entry in stores.outbox.dead_letters.all()}
    _ensure_found(set(names), found.keys())
    yield from (entry for name, entry in found.items() if every or name in names)


def _ensure_found(names: Set[str], found: Set[str]) -> None:
    if strangers := sorted(names - found):
        raise click.ClickException(f"Not in the outbox: {', '.join(map(printable, strangers))}")


def _described(entry: DeadLetter) -> dict[str, str | None]:
    at = datetime.fromtimestamp(entry.at / 1000, UTC).isoformat(timespec="seconds")
    return {"name": entry.name, "at": at, **_about(entry.command), "reason": entry.reason}


def _about(command: Command | None) -> dict[str, str | None]:
    return {
        "kind": command.kind.value if command else None,
        "organization": command.data.get("organizationId") if command else None,
        "notification": command.notification if command else None,
    }
