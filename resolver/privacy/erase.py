"""Erase: a person out of everything that is held, or an organization with all it has.

A record goes when the person is its actor or its only recipient, or when its text names them and that was
asked for; otherwise they are cut out of it. Velt is told of each through the outbox. What is under way or
given up there is seen to as well. Each step is safe to repeat: a run that was stopped, the next finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from resolver.command import Command, Entry, Kind, Place
from resolver.outbox.rewriting import Rewriting
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.order import Order
from resolver.privacy.people import People, people_in, roles, texts_in, without
from resolver.record import Record
from resolver.vault.store import Changed, Held, Vault

JSON = dict[str, Any]


class Fate(StrEnum):
    REMOVED = "removed"
    CUT = "cut"
    """The person was cut out of it."""
    CUT_AND_TOLD = "cut and told"
    """Out of its audience too, which Velt is to hear."""
    TOLD = "told"
    """No record any more, but a command was waiting."""


class Doomed(NamedTuple):
    held: Held
    fate: Fate
    changed: Changed


Announce = Callable[[Sequence[Doomed]], None]
"""Hears what is about to happen; when it raises, it doesn't."""


@dataclass(frozen=True, slots=True)
class Erase:
    vault: Vault
    rewriting: Rewriting

    def records(self, order: Order, announce: Announce) -> Iterator[int]:
        """How many were looked at, some hundred at a time."""
        for batch in self.vault.batches():
            if doomed := [found for held in batch if (found := _doomed(held, order))]:
                announce(doomed)
                self._write(doomed, order)
            yield len(batch)

    def commands(self, order: Order, announce: Callable[[Command], None], told: Callable[[str], None]) -> int:
        """Those that wait, and those that were given up: how many told of the person. `told` hears of which
        records, there or not, Velt must still hear that they are gone."""

        def changed(command: Command) -> Command:
            instead = _command_without(command, order)
            if instead is not command:
                announce(command)
                if instead.kind is not command.kind:
                    told(self._removed_behind(command))
            return instead

        return self.rewriting(changed)

    def _removed_behind(self, command: Command) -> str:
        """Somebody may be telling Velt of it this very moment, and takes out of the line whatever stands
        there then: so the removal waits behind it, too."""
        organization = str(command.data.get("organizationId", ""))
        removal = Entry(_removal(organization, command.notification))
        return self.vault.line_up(organization, command.notification, removal).key_name

    def _write(self, doomed: Sequence[Doomed], order: Order) -> None:
        done = self.vault.replace_all([(item.held, item.changed) for item in doomed])
        for item, is_done in zip(doomed, done, strict=True):
            if not is_done:
                # Somebody wrote it since it was looked at: whatever it is by now.
                record = item.held.record
                self.vault.change(record.organization, record.notification, lambda r: erased(r, order))


def _doomed(held: Held, order: Order) -> Doomed | None:
    changed, entry = erased(held.record, order)
    if changed is held.record:
        return None
    fate = Fate.REMOVED if changed is None else Fate.CUT_AND_TOLD if entry else Fate.CUT
    return Doomed(held, fate, (changed, entry))


def erased(record: Record, order: Order) -> Changed:
    """What becomes of it, and what Velt is to hear."""
    if not order.covers(record.organization, record.created):
        return record, None
    gone = None, Entry(_removal(record.organization, record.notification), Place.INSTEAD)
    if order.whole:
        return gone
    people = people_in(record, order.subject, frozenset())
    found = roles(record, people)
    if "actor" in found or ("recipient" in found and _alone(record, people)):
        return gone
    if order.mentioning and is_mentioned(texts_in(record), order.mentions):
        return gone
    return _cut(record, people) if found else (record, None)


def _alone(record: Record, people: People) -> bool:
    return not record.everyone and record.addressees() <= people.theirs


def _cut(record: Record, people: People) -> Changed:
    audience = tuple(user for user in record.audience if user not in people.theirs)
    cut = replace(
        record,
        audience=audience,
        hidden=tuple(user for user in record.hidden if user not in people.theirs),
        private=without(dict(record.private), people),
        content=orjson.dumps(without(record.parsed_content(), people)),
    )
    return cut, _new_audience(record, audience) if audience != record.audience else None


def _removal(organization: str, notification: str) -> Command:
    data = {"organizationId": organization, "notificationIds": [notification]}
    return Command(Kind.REMOVE, notification, data)


def _new_audience(record: Record, audience: tuple[str, ...]) -> Entry:
    named = {"id": record.notification, "notifyUsers": [{"userId": user} for user in audience]}
    data = {"organizationId": record.organization, "notifications": [named]}
    return Entry(Command(Kind.CHANGE, record.notification, data))


def _command_without(command: Command, order: Order) -> Command:
    """Of what goes, nothing but the removal is left to tell, whoever has begun to tell more."""
    organization = command.data.get("organizationId", "")
    if not order.covers(organization) or command.kind is Kind.REMOVE:
        return command
    if order.whole:
        return _removal(organization, command.notification)
    held = Record("", "", "", "", private=command.data)
    people = people_in(held, order.subject, frozenset())
    if not roles(held, people):
        return command
    if command.kind is Kind.REGISTER and _actor(command) in people.theirs:
        return _removal(organization, command.notification)
    return replace(command, data=without(command.data, people))


def _actor(command: Command) -> str:
    return str(command.data.get("actionUser", {}).get("userId", ""))
