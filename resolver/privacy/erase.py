"""Erase: a person out of everything that is held, or an organization with all it has.

A record goes when the person is its actor or its only recipient; otherwise they are cut out of it. Velt is
told of each through the outbox. What is under way or given up there is seen to as well. Each step is safe
to repeat: a run that was stopped is finished by the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson

from resolver.command import Command, Entry, Kind, Place
from resolver.outbox.rewriting import Rewriting
from resolver.privacy.people import People, Subject, people_in, roles, without
from resolver.record import Record
from resolver.vault.store import Changed, Vault

JSON = dict[str, Any]


class Done(StrEnum):
    LOOKED_AT = "looked at"
    REMOVED = "removed"
    CUT = "the person cut out"
    GONE = "changed or removed by others meanwhile"


@dataclass(frozen=True, slots=True)
class Request:
    """Whom, and where: nowhere named is everywhere. Without a subject, organizations whole."""

    subject: Subject | None
    organizations: frozenset[str] = frozenset()

    def is_inside(self, organization: str) -> bool:
        return not self.organizations or organization in self.organizations


@dataclass(frozen=True, slots=True)
class Erase:
    vault: Vault
    rewriting: Rewriting

    def __call__(self, request: Request) -> Iterator[Done]:
        """One for each record; at the end, commands that wait or were given up."""
        for record in self.vault.scan():
            yield self._record(record, request) if request.is_inside(record.organization) else Done.LOOKED_AT
        self.rewriting(lambda command: _command_without(command, request))

    def _record(self, record: Record, request: Request) -> Done:
        done: list[Done] = []

        def change(held: Record) -> Changed:
            """On whatever it is by now: it may have been written since it was looked at."""
            changed, entry = _erased(held, request)
            done[:] = [Done.LOOKED_AT if changed is held else Done.CUT if changed else Done.REMOVED]
            return changed, entry

        if _erased(record, request)[0] is record:
            return Done.LOOKED_AT
        written = self.vault.change(record.organization, record.notification, change)
        return done[0] if written and done else Done.GONE


def _erased(record: Record, request: Request) -> Changed:
    """What becomes of it, and what Velt is to hear."""
    if request.subject is None:
        return None, Entry(_removal(record.organization, record.notification), Place.INSTEAD)
    people = people_in(record, request.subject, frozenset())
    found = roles(record, people)
    if not found:
        return record, None
    if "actor" in found or ("recipient" in found and _alone(record, people)):
        return None, Entry(_removal(record.organization, record.notification), Place.INSTEAD)
    return _cut(record, people)


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


def _command_without(command: Command, request: Request) -> Command:
    """Of what goes, nothing but the removal is left to tell, whoever has begun to tell more."""
    organization = command.data.get("organizationId", "")
    if not request.is_inside(organization) or command.kind is Kind.REMOVE:
        return command
    if request.subject is None:
        return _removal(organization, command.notification)
    held = Record("", "", "", "", private=command.data)
    people = people_in(held, request.subject, frozenset())
    if not roles(held, people):
        return command
    if command.kind is Kind.REGISTER and _actor(command) in people.theirs:
        return _removal(organization, command.notification)
    return replace(command, data=without(command.data, people))


def _actor(command: Command) -> str:
    return str(command.data.get("actionUser", {}).get("userId", ""))


def counted(outcomes: Counter[Done]) -> JSON:
    return {done.name.lower(): outcomes[done] for done in Done}
