"""The field allow-list: which fields of a notification go to Velt, and which stay. Pure: no I/O, no clock.

The two tables below are the whole allow-list: one for adds, one for the entries of updates. To forward one
more field, add a line here and its type to `velt/requests.py` (a test requires both). Fields in neither table
are content, and are never sent to Velt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple

from resolver.validation.spelling import folded

JSON = dict[str, Any]
RESERVED_KEYS = frozenset({"__proto__", "constructor", "prototype"})
"""Keys with a special meaning in JavaScript objects."""


class Kept(Enum):
    """Where a field stays on our side."""

    HEADER = "header"  # decides who may read; never returned
    CONTENT = "content"  # returned by the data provider endpoints
    BACKEND = "backend"  # returned to the trusted backend only
    NOWHERE = "nowhere"  # an instruction to Velt, not stored


def as_given(value: Any) -> Any:
    return value


def person(user: JSON) -> JSON:
    """Reduce a person object to its id."""
    return {"userId": user["userId"]}


def people(users: list[JSON]) -> list[JSON]:
    return list(map(person, users))


def user_ids(users: list[str]) -> list[str]:
    """Ids of people, as they are given."""
    return users


def access_only(context: JSON) -> JSON:
    return {"access": context["access"]}


def location_ids(location: JSON) -> JSON | None:
    ids: JSON = {"id": location["id"]} if "id" in location else {}
    if "id" in location.get("version", {}):
        ids["version"] = {"id": location["version"]["id"]}
    return ids or None


class Rule(NamedTuple):
    to_velt: Callable[[Any], Any] | None
    kept: Kept


ADD: Mapping[str, Rule] = {
    # field                          sent to Velt     kept here
    "organizationId":             Rule(as_given,      Kept.HEADER),
    "documentId":                 Rule(as_given,      Kept.HEADER),
    "notificationId":             Rule(as_given,      Kept.HEADER),
    "actionUser":                 Rule(person,        Kept.CONTENT),
    "notifyUsers":                Rule(people,        Kept.HEADER),
    "notifyAll":                  Rule(as_given,      Kept.HEADER),
    "verifyUserPermissions":      Rule(as_given,      Kept.HEADER),
    "context":                    Rule(access_only,   Kept.BACKEND),
    "locationId":                 Rule(as_given,      Kept.BACKEND),
    "location":                   Rule(location_ids,  Kept.BACKEND),
    "createOrganization":         Rule(as_given,      Kept.NOWHERE),
    "createDocument":             Rule(as_given,      Kept.NOWHERE),
    "isCrossOrganizationEnabled": Rule(as_given,      Kept.NOWHERE),
    "isNotificationResolverUsed": Rule(None,          Kept.NOWHERE),  # sent as a constant, below
    "notificationSource":         Rule(None,          Kept.NOWHERE),  # sent as a constant, below
    "metadata":                   Rule(None,          Kept.BACKEND),
}  # fmt: skip

UPDATE: Mapping[str, Rule] = {
    # field of one entry             sent to Velt     kept here
    "id":                         Rule(as_given,      Kept.NOWHERE),
    "actionUser":                 Rule(person,        Kept.CONTENT),
    "notifyUsers":                Rule(people,        Kept.HEADER),
    "notifyAll":                  Rule(None,          Kept.HEADER),  # Velt's update doesn't take it
    "context":                    Rule(access_only,   Kept.BACKEND),
    "location":                   Rule(location_ids,  Kept.BACKEND),
    "readByUserIds":              Rule(user_ids,      Kept.NOWHERE),
    "persistReadForUsers":        Rule(as_given,      Kept.NOWHERE),
    "metadata":                   Rule(None,          Kept.BACKEND),
}  # fmt: skip

ABOUT_PEOPLE = frozenset(
    name
    for table in (ADD, UPDATE)
    for name, rule in table.items()
    if rule.to_velt in (person, people, user_ids, access_only)
)
"""Fields sent to Velt that may name people. An erasure looks for people in these fields of commands."""

RESOLVER_MODE: Mapping[str, Any] = {"isNotificationResolverUsed": True, "notificationSource": "custom"}

# Top-level names of the SDK's own record. Content is merged into that record, so content with one of these
# names would overwrite structure.
_ENVELOPE = re.compile(
    r"id|notificationId|notificationSource|actionType|actionUser|timestamp|metadata|notifyUsers"
    r"|notifyUsersByUserId|forYou|isUnread|isRead|isArchived|is\w*ResolverUsed|targetAnnotationId"
    r"|organizationId|visibility|displayHeadlineMessage"
)
STRUCTURE = frozenset(ADD.keys() | UPDATE.keys())
"""Names with structure in either request; neither may use them for content."""

NARROWING = frozenset(
    {
        "organizationId",
        "documentId",
        "notificationId",
        "locationId",
        "location",
        "notifyUsers",
        "notifyAll",
        "verifyUserPermissions",
        "context",
        "readByUserIds",
        "metadata",
    }
)
"""Keys that restrict a call: if one were dropped, more people could read, or a call would do more."""

STRIPPED: Mapping[str, str] = {
    "isRead": "use readByUserIds",
    "read": "use readByUserIds",
    "isArchived": "nothing marks a notification as archived",
}
"""Keys that Velt's update ignores, with what to do instead. They are never content."""
_STRIPPED = {folded(name): instead for name, instead in STRIPPED.items()}

PeopleMode = Literal["full", "reference"]
_PERSONAL = frozenset(
    {"name", "email", "photoUrl", "initial", "contacts", "clientUserName", "email_lowercase"}
)


@dataclass(frozen=True, slots=True)
class Split:
    forward: JSON
    """All that is sent to Velt."""
    content: JSON
    """Sealed; returned by the data provider endpoints."""
    private: JSON
    """Sealed; returned to the trusted backend only."""
    dropped: list[str] = field(default_factory=list)
    """Reserved names that are neither stored nor sent, as dotted paths."""
    stripped: dict[str, str] = field(default_factory=dict)
    """Keys that Velt's update ignores, each with what to do instead."""


def split_add(data: JSON, keep_people: PeopleMode) -> Split:
    """Split a validated add (`velt/requests.py`)."""
    split = _split(data, ADD, keep_people)
    split.forward.update(RESOLVER_MODE)
    return split


def split_update(entry: JSON, keep_people: PeopleMode) -> Split:
    """Split a validated entry of an update. An explicit null in `content` or `private` removes that key."""
    stripped = {name: instead for name in entry if (instead := _STRIPPED.get(folded(name)))}
    split = _split(
        {name: value for name, value in entry.items() if name not in stripped}, UPDATE, keep_people
    )
    split.stripped.update(stripped)
    return split


def is_reserved(name: str) -> bool:
    """Whether a top-level name is dropped rather than kept as content."""
    return name in RESERVED_KEYS | STRUCTURE or _ENVELOPE.fullmatch(name) is not None


def _split(data: JSON, rules: Mapping[str, Rule], keep_people: PeopleMode) -> Split:
    split = Split(forward={}, content={}, private={})
    for name, value in data.items():
        rule = rules.get(name)
        if rule is None and is_reserved(name):
            split.dropped.append(name)
        elif rule is None or rule.kept is Kept.CONTENT:
            split.content[name] = _kept_value(split, name, value, keep_people)
        elif rule.kept is Kept.BACKEND:
            split.private[name] = _kept_privately(split, name, value, keep_people)
        if rule and rule.to_velt and value is not None:
            forwarded = rule.to_velt(value)
            if forwarded is not None:
                split.forward[name] = forwarded
    return split


def _kept_privately(split: Split, name: str, value: Any, keep_people: PeopleMode) -> Any:
    if not isinstance(value, dict):
        return value
    kept = _kept_items(split, name, value, keep_people)
    # `access` decides who may read, so it is kept unchanged; its names were validated (`velt/requests.py`).
    return {**kept, "access": value["access"]} if name == "context" else kept


def _kept_value(split: Split, path: str, value: Any, keep_people: PeopleMode) -> Any:
    """The value without reserved keys, and with people reduced to ids where only references are kept."""
    if isinstance(value, list):
        return [_kept_value(split, f"{path}[{n}]", item, keep_people) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if keep_people == "reference" and _is_person(path, value):
        return person(value)
    return _kept_items(split, path, value, keep_people)


def _kept_items(split: Split, path: str, value: JSON, keep_people: PeopleMode) -> JSON:
    kept = {}
    for name, inner in value.items():
        if name in RESERVED_KEYS:
            split.dropped.append(f"{path}.{name}")
        else:
            is_nested = isinstance(inner, dict | list)
            kept[name] = _kept_value(split, f"{path}.{name}", inner, keep_people) if is_nested else inner
    return kept


def _is_person(path: str, value: JSON) -> bool:
    """Whether an object is a person: in Velt's fields for people, or with an id beside personal data."""
    if not isinstance(value.get("userId"), str):
        return False
    return path == "actionUser" or "TemplateData" in path or not _PERSONAL.isdisjoint(value)
