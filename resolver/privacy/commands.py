"""Who is in a command, and the command without them. Pure.

A command holds identifiers alone: of people in some fields, and of everything else in the others. Those stay,
whatever they are called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resolver.privacy.people import People, is_access_about, without
from resolver.store.command import Command, Kind
from resolver.store.record import Record

JSON = dict[str, Any]
_PEOPLE = frozenset({"actionUser", "notifyUsers", "readByUserIds", "context"})
_FILTER = "userId"
"""Bounds a removal or a change to somebody's notifications."""


def people_fields(data: JSON) -> Record:
    """As a record, so that the same rules apply."""
    filters = {name: value for name, value in data.items() if name == _FILTER}
    entries = ({name: value for name, value in entry.items() if name in _PEOPLE} for entry in _entries(data))
    return Record("", "", "", "", private={**filters, "entries": list(entries)})


def removal(organization: str, notification: str) -> Command:
    data = {"organizationId": organization, "notificationIds": [notification]}
    return Command(Kind.REMOVE, notification, data)


def command_without(command: Command, people: People, held: Record | None) -> Command:
    """The very same when it isn't about them. Of what goes, nothing but the removal is left to tell.
    `held`: the record that a removal left for others."""
    if command.kind is Kind.REMOVE:
        return _removal_without(command, people, held)
    if any(_goes(entry, command.kind, people) for entry in _entries(command.data)):
        return removal(command.data.get("organizationId", ""), command.notification)
    data = _without_filter(command.data, people)
    if command.kind is Kind.REGISTER:
        data = _entry_without(data, people)
    else:
        data = {**data, "notifications": [_entry_without(entry, people) for entry in _entries(command.data)]}
    return command if data == command.data else replace(command, data=data)


def is_filtered(command: Command) -> bool:
    return _FILTER in command.data


def _removal_without(command: Command, people: People, held: Record | None) -> Command:
    """Without its bound it would remove more, unless it is gone here too. What is held stays for others, so
    Velt hears instead who they are; when they are everyone, a change is left that changes nothing."""
    data = _without_filter(command.data, people)
    if data == command.data:
        return command
    if held is None:
        return replace(command, data=data)
    others = [{"userId": user} for user in held.audience if not people.has(user)]
    named = {"id": command.notification, **({"notifyUsers": others} if others else {})}
    organization = data.get("organizationId", "")
    return Command(
        Kind.CHANGE, command.notification, {"organizationId": organization, "notifications": [named]}
    )


def _entries(data: JSON) -> list[JSON]:
    entries: list[JSON] = data.get("notifications", [data])
    return entries


def _goes(entry: JSON, kind: Kind, people: People) -> bool:
    """Who reads isn't widened by taking somebody out: where it can't be narrowed any more, nobody does."""
    if is_access_about(entry.get("context", {}).get("access"), people):
        return True
    if kind is not Kind.REGISTER:
        return False
    named = [user.get("userId") for user in entry.get("notifyUsers", ())]
    alone = bool(named) and all(map(people.has, named)) and entry.get("notifyAll") is False
    return alone or _is_theirs(entry.get("actionUser"), people)


def _entry_without(entry: JSON, people: People) -> JSON:
    return {
        name: without(value, people) if name in _PEOPLE - {"context"} else value
        for name, value in entry.items()
        if name != "actionUser" or not _is_theirs(value, people)
    }


def _without_filter(data: JSON, people: People) -> JSON:
    return {name: value for name, value in data.items() if name != _FILTER or not people.has(value)}


def _is_theirs(value: Any, people: People) -> bool:
    return isinstance(value, dict) and people.is_person(value)
