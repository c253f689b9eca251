"""Erase a person from all records and commands, or an organization with all its records.

A record is removed if:

- the person is its action user or its only recipient,
- its access rules name them, or
- its text names them, and the request has that name in `mentioning`.

Otherwise the person is cut out of the record. The outbox carries each change to Velt; queued commands and
dead letters are rewritten too. Every step is idempotent: the next run finishes one that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from resolver.outbox.rewriting import Rewriting, Rewritten
from resolver.privacy.commands import command_without_person, is_filtered, people_fields, removal
from resolver.privacy.erasure_request import ErasureRequest
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.people import STRUCTURE, People, narrows, people_in, prose_in, remove_person, roles
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.record import Record
from resolver.store.records import Changed, Held, RecordStore
from resolver.store.scan import in_time_slices

JSON = dict[str, Any]


class Effect(StrEnum):
    REMOVED = "removed"
    CUT = "cut"
    """The record stays, without the person."""
    CUT_WITH_COMMAND = "cut and told"
    """The person was in the audience too, so a command takes the change to Velt."""
    COMMAND_ONLY = "told"
    """There was a queued command and no record any more."""


class PlannedErasure(NamedTuple):
    held: Held
    effect: Effect
    changed: Changed


Announce = Callable[[Sequence[PlannedErasure]], None]
"""Called before a batch is erased; if it raises, the batch is not erased."""
AnnounceOne = Callable[[str, str], None]
"""The same for one command: organization, notification."""


@dataclass(frozen=True, slots=True)
class Erase:
    store: RecordStore
    rewriting: Rewriting

    def records(self, request: ErasureRequest, announce: Announce) -> Iterator[int]:
        """Erase from records, and yield how many each batch examined."""
        for batch in self.store.batches():
            if planned := [found for held in in_time_slices(batch) if (found := _planned(held, request))]:
                announce(planned)
                self._write(planned, request)
            yield len(batch)

    def commands(
        self, request: ErasureRequest, announce: AnnounceOne, on_queued: Callable[[str], None]
    ) -> Rewritten:
        """Erase from queued commands and dead letters, and count those changed. `on_queued` is called with
        the name of each record about which a command must still reach Velt."""

        def changed(command: Command) -> Command:
            instead = _rewritten(command, request, self.store)
            if instead is not command:
                announce(str(command.data.get("organizationId", "")), command.notification)
                if instead.kind is Kind.REMOVE and command.kind is not Kind.REMOVE:
                    on_queued(self._removed_behind(command))
            return instead

        def previous(key_name: str, record: Record) -> Changed:
            instead, entry = erased(record, request)
            if instead is not record:
                announce(record.organization, record.notification)
            if entry:
                on_queued(key_name)
            return instead, entry

        return self.rewriting(changed, previous)

    def _removed_behind(self, command: Command) -> str:
        """Enqueue the removal behind the command. A worker that is sending the command completes whatever
        entry is first by then, so replacing it in place could lose the removal."""
        organization = str(command.data.get("organizationId", ""))
        entry = Entry(removal(organization, command.notification))
        return self.store.enqueue(organization, command.notification, entry).key_name

    def _write(self, planned: Sequence[PlannedErasure], request: ErasureRequest) -> None:
        done = self.store.replace_all([(item.held, item.changed) for item in planned])
        for item, is_done in zip(planned, done, strict=True):
            if not is_done:
                # Written by another request since it was read: erase from its current version.
                record = item.held.record
                self.store.change(record.organization, record.notification, lambda r: erased(r, request))


def _planned(held: Held, request: ErasureRequest) -> PlannedErasure | None:
    changed, entry = erased(held.record, request)
    if changed is held.record:
        return None
    effect = Effect.REMOVED if changed is None else Effect.CUT_WITH_COMMAND if entry else Effect.CUT
    return PlannedErasure(held, effect, (changed, entry))


def erased(record: Record, request: ErasureRequest) -> Changed:
    """Decide what remains of a record, and which command Velt gets. Pure."""
    if not request.covers(record.organization, record.created):
        return record, None
    gone = None, Entry(removal(record.organization, record.notification), Place.REPLACE_UNSENT)
    if request.whole:
        return gone
    people = people_in(record, request.subject, frozenset())
    found = roles(record, people)
    if narrows(record, people) or "actor" in found or ("recipient" in found and _alone(record, people)):
        return gone
    if request.mentioning and is_mentioned(prose_in(record), request.mentions):
        return gone
    return _cut(record, people) if found else (record, None)


def _alone(record: Record, people: People) -> bool:
    return not record.everyone and all(map(people.has, record.addressees()))


def _cut(record: Record, people: People) -> Changed:
    """Cut the person out. Content that isn't about them keeps its bytes."""
    audience = tuple(user for user in record.audience if not people.has(user))
    content = record.parsed_content()
    rest = remove_person(content, people)
    cut = replace(
        record,
        audience=audience,
        dismissed_by=tuple(user for user in record.dismissed_by if not people.has(user)),
        private=remove_person(dict(record.private), people, STRUCTURE),
        content=record.content if rest == content else orjson.dumps(rest),
    )
    if cut == record:
        return record, None
    return cut, _new_audience(record, audience) if audience != record.audience else None


def _new_audience(record: Record, audience: tuple[str, ...]) -> Entry:
    named = {"id": record.notification, "notifyUsers": [{"userId": user} for user in audience]}
    data = {"organizationId": record.organization, "notifications": [named]}
    return Entry(Command(Kind.CHANGE, record.notification, data))


def _rewritten(command: Command, request: ErasureRequest, store: RecordStore) -> Command:
    organization = command.data.get("organizationId", "")
    if not request.covers(organization, command.created):
        return command
    if request.whole:
        is_plain = command.kind is Kind.REMOVE and not is_filtered(command)
        return command if is_plain else removal(organization, command.notification)
    held = people_fields(command.data)
    people = people_in(held, request.subject, frozenset())
    if not roles(held, people):
        return command
    is_removal = command.kind is Kind.REMOVE
    found = store.read(organization, [command.notification]) if is_removal else {}
    return command_without_person(command, people, found.get(command.notification))
