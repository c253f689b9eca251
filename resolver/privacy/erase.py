"""Erase: a person out of everything that is held, or an organization with all it has.

A record goes when the person is its actor or its only recipient, when they are in what narrows who reads it,
or when its text names them and that was asked for; otherwise they are cut out of it. Velt is told of each
through the outbox. What is under way or given up there is seen to as well. Each step is safe to repeat: a run
that was stopped, the next finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from resolver.outbox.rewriting import Rewriting, Rewritten
from resolver.privacy.commands import command_without, is_filtered, people_fields, removal
from resolver.privacy.erasure_request import ErasureRequest
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.people import STRUCTURE, People, narrows, people_in, prose_in, roles, without
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.record import Record
from resolver.store.records import Changed, Held, RecordStore
from resolver.store.scan import in_time_slices

JSON = dict[str, Any]


class Effect(StrEnum):
    REMOVED = "removed"
    CUT = "cut"
    """The person was cut out of it."""
    CUT_AND_TOLD = "cut and told"
    """Out of its audience too, which Velt is to hear."""
    TOLD = "told"
    """No record any more, but a command was waiting."""


class PlannedErasure(NamedTuple):
    held: Held
    fate: Effect
    changed: Changed


Announce = Callable[[Sequence[PlannedErasure]], None]
"""Hears what is about to happen; when it raises, it doesn't."""
AnnounceOne = Callable[[str, str], None]
"""The same, of an organization's notification."""


@dataclass(frozen=True, slots=True)
class Erase:
    store: RecordStore
    rewriting: Rewriting

    def records(self, order: ErasureRequest, announce: Announce) -> Iterator[int]:
        """How many were looked at, some hundred at a time."""
        for batch in self.store.batches():
            if planned := [found for held in in_time_slices(batch) if (found := _planned(held, order))]:
                announce(planned)
                self._write(planned, order)
            yield len(batch)

    def commands(
        self, order: ErasureRequest, announce: AnnounceOne, told: Callable[[str], None]
    ) -> Rewritten:
        """Those that wait, and those that were given up: how many told of the person. `told` hears of which
        records, there or not, Velt must still hear that they are gone."""

        def changed(command: Command) -> Command:
            instead = _command_without(command, order, self.store)
            if instead is not command:
                announce(str(command.data.get("organizationId", "")), command.notification)
                if instead.kind is Kind.REMOVE and command.kind is not Kind.REMOVE:
                    told(self._removed_behind(command))
            return instead

        def previous(record: Record) -> Record | None:
            instead, _ = erased(record, order)
            if instead is not record:
                announce(record.organization, record.notification)
            return instead

        return self.rewriting(changed, previous)

    def _removed_behind(self, command: Command) -> str:
        """Somebody may be telling Velt of it this very moment, and takes out of the line whatever stands
        there then: so the removal waits behind it, too."""
        organization = str(command.data.get("organizationId", ""))
        entry = Entry(removal(organization, command.notification))
        return self.store.enqueue(organization, command.notification, entry).key_name

    def _write(self, planned: Sequence[PlannedErasure], order: ErasureRequest) -> None:
        done = self.store.replace_all([(item.held, item.changed) for item in planned])
        for item, is_done in zip(planned, done, strict=True):
            if not is_done:
                # Somebody wrote it since it was looked at: whatever it is by now.
                record = item.held.record
                self.store.change(record.organization, record.notification, lambda r: erased(r, order))


def _planned(held: Held, order: ErasureRequest) -> PlannedErasure | None:
    changed, entry = erased(held.record, order)
    if changed is held.record:
        return None
    fate = Effect.REMOVED if changed is None else Effect.CUT_AND_TOLD if entry else Effect.CUT
    return PlannedErasure(held, fate, (changed, entry))


def erased(record: Record, order: ErasureRequest) -> Changed:
    """What becomes of it, and what Velt is to hear."""
    if not order.covers(record.organization, record.created):
        return record, None
    gone = None, Entry(removal(record.organization, record.notification), Place.REPLACE_UNSENT)
    if order.whole:
        return gone
    people = people_in(record, order.subject, frozenset())
    found = roles(record, people)
    if narrows(record, people) or "actor" in found or ("recipient" in found and _alone(record, people)):
        return gone
    if order.mentioning and is_mentioned(prose_in(record), order.mentions):
        return gone
    return _cut(record, people) if found else (record, None)


def _alone(record: Record, people: People) -> bool:
    return not record.everyone and all(map(people.has, record.addressees()))


def _cut(record: Record, people: People) -> Changed:
    """What isn't about them keeps its very bytes."""
    audience = tuple(user for user in record.audience if not people.has(user))
    content = record.parsed_content()
    rest = without(content, people)
    cut = replace(
        record,
        audience=audience,
        dismissed_by=tuple(user for user in record.dismissed_by if not people.has(user)),
        private=without(dict(record.private), people, STRUCTURE),
        content=record.content if rest == content else orjson.dumps(rest),
    )
    if cut == record:
        return record, None
    return cut, _new_audience(record, audience) if audience != record.audience else None


def _new_audience(record: Record, audience: tuple[str, ...]) -> Entry:
    named = {"id": record.notification, "notifyUsers": [{"userId": user} for user in audience]}
    data = {"organizationId": record.organization, "notifications": [named]}
    return Entry(Command(Kind.CHANGE, record.notification, data))


def _command_without(command: Command, order: ErasureRequest, store: RecordStore) -> Command:
    organization = command.data.get("organizationId", "")
    if not order.covers(organization, command.created):
        return command
    if order.whole:
        is_plain = command.kind is Kind.REMOVE and not is_filtered(command)
        return command if is_plain else removal(organization, command.notification)
    held = people_fields(command.data)
    people = people_in(held, order.subject, frozenset())
    if not roles(held, people):
        return command
    is_removal = command.kind is Kind.REMOVE
    found = store.read(organization, [command.notification]) if is_removal else {}
    return command_without(command, people, found.get(command.notification))
