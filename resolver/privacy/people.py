"""Find people in a notification, and separate one person's data from others'. Pure.

A person is recognized:

- in the schema's fields (action user, audience),
- by an object within the content that has a `userId` or an `email`,
- by a text that is one of these ids or addresses and nothing else.

Free text is not searched: a name within a sentence is not found. Ids are compared exactly, addresses (and ids
that are addresses) without case. A number is an id only as a value of `userId`; elsewhere it may be a count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from resolver.store.record import Record

JSON = dict[str, Any]
ANOTHER_PERSON = "[another person]"
_LISTS_OF_IDS = frozenset({"readByUserIds", "userIds"})
Kept = Mapping[str, Any]
"""Fields to keep: None keeps the whole value, a mapping keeps some fields inside it."""
_NOTHING: Kept = {}
STRUCTURE: Kept = {
    "context": {"access": None},
    "locationId": None,
    "location": {"id": None, "version": {"id": None}},
}
"""Fields that decide who reads a record and where it belongs. They never hold a person's name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The person whose data is exported or erased: any of these ids and addresses."""

    users: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()

    def ids(self) -> frozenset[str]:
        """All ids, and the addresses too: an id may be an address."""
        return _ids_of(self)

    def addresses(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.emails)) - {""}


@dataclass(frozen=True, slots=True)
class People:
    """Tells in one notification whether a name is the subject's or another known person's."""

    ids: frozenset[str]
    names: frozenset[str]
    """The ids, and the addresses that stand beside them."""
    known: Set[str]

    def has(self, user: Any) -> bool:
        """Whether an id is the subject's."""
        return _as_id(user) in self.ids

    def is_another(self, value: Any) -> bool:
        return _is(value, self.known) and not _is(value, self.names)

    def is_named_by(self, value: Any) -> bool:
        return _is(value, self.names)

    def is_person(self, value: Mapping[str, Any]) -> bool:
        """Whether an object is about the subject. The address counts only if there is no id."""
        id_ = _id(value)
        return id_ in self.ids if id_ else _email(value) in self.names


@lru_cache(maxsize=4)
def _ids_of(subject: Subject) -> frozenset[str]:
    """Cached: a subject may have a thousand names, and every record asks."""
    return (frozenset(map(folded, subject.users)) | subject.addresses()) - {""}


def folded(name: str) -> str:
    """Normalize an id or an address for comparison."""
    return name.lower() if "@" in name else name


def names_in(record: Record) -> set[str]:
    """Return every id and address that is known to be a person's."""
    people = {record.actor, *record.audience, *record.dismissed_by}
    for value in _parts(record):
        people.update(_names_within(value))
    return set(map(folded, people)) - {""}


def people_in(record: Record, subject: Subject, known: Set[str]) -> People:
    """Resolve the subject's ids and addresses within one notification.

    An id beside one of the subject's addresses is theirs. An address beside their ids, and beside no other
    person's, is theirs too, but adds no further ids. `known`: the names of all people, since only another
    notification may show that a bare id is a person's.
    """
    persons = [(_id(person), _email(person)) for person in _all_persons(record)]
    addresses = subject.addresses()
    ids = subject.ids() | {id_ for id_, email in persons if id_ and email in addresses}
    beside = {email for id_, email in persons if id_ in ids and "@" in email}
    shared = {email for id_, email in persons if id_ and id_ not in ids}
    return People(frozenset(ids), frozenset(ids | addresses | (beside - shared)), known)


def roles(record: Record, people: People) -> list[str]:
    """List the subject's roles in a record; empty when it isn't about them."""
    found = {
        "actor": people.has(record.actor),
        "recipient": any(map(people.has, record.audience)),
        "left": any(map(people.has, record.dismissed_by)),
        "mentioned": _is_mentioned(record, people),
    }
    return [role for role, holds in found.items() if holds]


def narrows(record: Record, people: People) -> bool:
    """Whether the access rules name the subject. Without them, the rules' meaning is unknown."""
    return is_access_about(dict(record.access()), people)


def is_access_about(access: Any, people: People) -> bool:
    return any(people.is_named_by(leaf) for leaf in _leaves(access))


def texts_in(record: Record) -> Iterator[str]:
    """Yield every string in a record, including keys and numeric ids."""
    for value in _parts(record):
        yield from (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def prose_in(record: Record) -> Iterator[str]:
    """Yield every string in a record except keys."""
    for value in _parts(record):
        yield from (leaf for leaf in _leaves(value, keys=False) if isinstance(leaf, str))


def redacted(value: Any, people: People) -> Any:
    """Return a field's value with other people replaced by a placeholder."""
    if isinstance(value, list):
        return [redacted(item, people) for item in value]
    if not isinstance(value, dict):
        return ANOTHER_PERSON if people.is_another(value) else value
    if _is_person(value) and not people.is_person(value):
        return ANOTHER_PERSON
    shown = redacted_fields(value, people)
    if people.is_person(value) and "email" in value:
        # The address is the subject's, even if others share it.
        shown["email"] = value["email"]
    return shown


def redacted_fields(value: JSON, people: People) -> JSON:
    """Redact each field of an object that is not a person itself, even if it has a `userId` or an `email`."""
    return {
        (ANOTHER_PERSON if people.is_another(name) else name): (
            [id_ if people.has(id_) else ANOTHER_PERSON for id_ in inner]
            if name in _LISTS_OF_IDS and isinstance(inner, list)
            else redacted(inner, people)
        )
        for name, inner in value.items()
    }


def remove_person(value: Any, people: People, kept: Kept = _NOTHING) -> Any:
    """Return a value without the subject. No placeholder is left."""
    if isinstance(value, list):
        return [remove_person(item, people) for item in value if not _is_subject(item, people)]
    if not isinstance(value, dict):
        return value
    return {
        name: inner if _stays(name, kept) else remove_person(inner, people, kept.get(name, _NOTHING))
        for name, inner in value.items()
        if name in kept or not (people.is_named_by(name) or _is_subject(inner, people, name))
    }


def _stays(name: str, kept: Kept) -> bool:
    return name in kept and kept[name] is None


def _is_subject(value: Any, people: People, name: str = "") -> bool:
    if name == "userId" and people.has(value):
        return True
    return people.is_person(value) if isinstance(value, dict) else people.is_named_by(value)


def _is_mentioned(record: Record, people: People) -> bool:
    return any(_is(leaf, people.names) for part in _parts(record) for leaf in _leaves(part))


def _parts(record: Record) -> tuple[JSON, JSON]:
    return _parsed(record.content), dict(record.private)


@lru_cache(maxsize=1)
def _parsed(content: bytes) -> JSON:
    """Cached: several functions read the same record in turn. Callers must not modify the result."""
    parsed: JSON = orjson.loads(content)
    return parsed


def _leaves(value: Any, *, keys: bool = True) -> Iterator[Any]:
    if isinstance(value, dict):
        if keys:
            yield from value
            if isinstance(number := value.get("userId"), int | float):
                yield _as_id(number)
        for inner in value.values():
            yield from _leaves(inner, keys=keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, keys=keys)
    else:
        yield value


def _all_persons(record: Record) -> Iterator[Mapping[str, Any]]:
    """Yield every object that is a person. The content as a whole never is one."""
    for part in _parts(record):
        for value in part.values():
            yield from _persons(value)


def _persons(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if _is_person(value):
            yield value
        for inner in value.values():
            yield from _persons(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _persons(inner)


def _names_within(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield _id(value)
        yield _email(value)
        for name, inner in value.items():
            if name in _LISTS_OF_IDS and isinstance(inner, list):
                yield from map(_as_id, inner)
            yield from _names_within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_within(inner)


def _is_person(value: Mapping[str, Any]) -> bool:
    return bool(_id(value) or _email(value))


def _id(person: Mapping[str, Any]) -> str:
    return _as_id(person.get("userId"))


def _as_id(value: Any) -> str:
    """Normalize an id for comparison; empty if the value can't be one. JSON may hold any type here."""
    if value is None:
        return ""
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return ""
    return str(int(value))


def _email(person: Mapping[str, Any]) -> str:
    email = person.get("email")
    return email.lower() if isinstance(email, str) else ""


def _is(value: Any, names: Set[str]) -> bool:
    return isinstance(value, str) and (value in names or ("@" in value and value.lower() in names))
