"""Find people in a queued command, and rewrite the command without them. Pure.

A command holds only identifiers. `ABOUT_PEOPLE` names the fields that identify people; all others are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resolver.privacy.people import People, is_access_about, remove_person
from resolver.store.command import Command, Kind
from resolver.store.record import Record
from resolver.velt.field_allow_list import ABOUT_PEOPLE

JSON = dict[str, Any]
_FILTER = "userId"
"""Limits a removal or a change to one person's notifications."""


def people_fields(data: JSON) -> Record:
    """Return the fields about people as a record, so that the rules for records apply."""
    filters = {name: value for name, value in data.items() if name == _FILTER}
    entries = [
        {name: value for name, value in entry.items() if name in ABOUT_PEOPLE} for entry in _entries(data)
    ]
    return Record("", "", "", "", private={**filters, "entries": entries})


def removal(organization: str, notification: str) -> Command:
    data = {"organizationId": organization, "notificationIds": [notification]}
    return Command(Kind.REMOVE, notification, data)


def command_without_person(command: Command, people: People, held: Record | None) -> Command:
    """Return the command without the people, a removal if nothing else may be sent, or the same object if the
    command isn't about them. `held`: the record that remains for others after a filtered removal."""
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
    """Without its filter, a removal would also remove the notification for others. If the record is still
    stored, send Velt the remaining audience instead; for everyone, that is a change that changes nothing."""
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
    """Whether to remove the whole entry: without the person, more people could read it than before."""
    if is_access_about(entry.get("context", {}).get("access"), people):
        return True
    if kind is not Kind.REGISTER:
        return False
    named = [user.get("userId") for user in entry.get("notifyUsers", ())]
    alone = bool(named) and all(map(people.has, named)) and entry.get("notifyAll") is False
    return alone or _is_subject(entry.get("actionUser"), people)


def _entry_without(entry: JSON, people: People) -> JSON:
    return {
        name: remove_person(value, people) if name in ABOUT_PEOPLE - {"context"} else value
        for name, value in entry.items()
        if name != "actionUser" or not _is_subject(value, people)
    }


def _without_filter(data: JSON, people: People) -> JSON:
    return {name: value for name, value in data.items() if name != _FILTER or not people.has(value)}


def _is_subject(value: Any, people: People) -> bool:
    return isinstance(value, dict) and people.is_person(value)
