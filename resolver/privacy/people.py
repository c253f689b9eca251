"""Who is in a notification, and what of it is about whom. Pure.

People are where the schema has them (action user, audience), wherever an object within the content has a
`userId` or an `email`, and wherever a text is one of these ids or addresses and nothing else. Free text isn't
searched: a name in a sentence is found by nobody. Ids are compared as they are, addresses (and ids that are
addresses) without regard to case. A number is an id where a `userId` is, and nowhere else: it may count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from resolver.store.record import Record

JSON = dict[str, Any]
SOMEBODY = "[another person]"
_LISTS_OF_IDS = frozenset({"readByUserIds", "userIds"})
Kept = Mapping[str, Any]
"""Names whose values stay whatever they are (None), or of which some do (the same again)."""
_NOTHING: Kept = {}
STRUCTURE: Kept = {
    "context": {"access": None},
    "locationId": None,
    "location": {"id": None, "version": {"id": None}},
}
"""What of a record decides who reads it, and where it is: never what somebody is called."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody, by any of these."""

    users: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()

    def ids(self) -> frozenset[str]:
        """An id may be an address."""
        return _ids_of(self)

    def addresses(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.emails)) - {""}


@dataclass(frozen=True, slots=True)
class People:
    """Whose a name in one notification is: the subject's, or another known person's."""

    ids: frozenset[str]
    theirs: frozenset[str]
    """Addresses of theirs too, that stand beside their ids: texts may be one, and nobody's id is."""
    known: Set[str]

    def has(self, user: Any) -> bool:
        """Whether an id is theirs."""
        return _as_id(user) in self.ids

    def is_another(self, value: Any) -> bool:
        return _is(value, self.known) and not _is(value, self.theirs)

    def is_named_by(self, value: Any) -> bool:
        return _is(value, self.theirs)

    def is_person(self, value: Mapping[str, Any]) -> bool:
        """Whether an object is about them. Whoever has another id is somebody else, with whatever address."""
        id_ = _id(value)
        return id_ in self.ids if id_ else _email(value) in self.theirs


@lru_cache(maxsize=4)
def _ids_of(subject: Subject) -> frozenset[str]:
    """A thousand may be asked for, of every record."""
    return (frozenset(map(folded, subject.users)) | subject.addresses()) - {""}


def folded(name: str) -> str:
    """As names are compared."""
    return name.lower() if "@" in name else name


def names_in(record: Record) -> set[str]:
    """Every id and address that is known to be somebody's."""
    people = {record.actor, *record.audience, *record.dismissed_by}
    for value in _parts(record):
        people.update(_names_within(value))
    return set(map(folded, people)) - {""}


def people_in(record: Record, subject: Subject, known: Set[str]) -> People:
    """An id that stands beside one of the subject's addresses is theirs, in this notification; an address
    that stands beside their ids and nobody else's is theirs too, and tells no further ids. `known` are all
    people's names: in one notification a bare id may stand that only another one tells for a person's."""
    persons = [(_id(person), _email(person)) for person in _everybody(record)]
    addresses = subject.addresses()
    ids = subject.ids() | {id_ for id_, email in persons if id_ and email in addresses}
    beside = {email for id_, email in persons if id_ in ids and "@" in email}
    shared = {email for id_, email in persons if id_ and id_ not in ids}
    return People(frozenset(ids), frozenset(ids | addresses | (beside - shared)), known)


def roles(record: Record, people: People) -> list[str]:
    """What the subject is in it; nothing when it isn't about them."""
    found = {
        "actor": people.has(record.actor),
        "recipient": any(map(people.has, record.audience)),
        "left": any(map(people.has, record.dismissed_by)),
        "mentioned": _is_mentioned(record, people),
    }
    return [role for role, holds in found.items() if holds]


def narrows(record: Record, people: People) -> bool:
    """Whether they are in what narrows who reads it: nobody knows what that means without them."""
    return is_access_about(dict(record.access()), people)


def is_access_about(access: Any, people: People) -> bool:
    return any(people.is_named_by(leaf) for leaf in _leaves(access))


def texts_in(record: Record) -> Iterator[str]:
    """Every text in it, short or long, what its keys are called, and ids that are numbers."""
    for value in _parts(record):
        yield from (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def prose_in(record: Record) -> Iterator[str]:
    """What it says: every text in it, and not what its keys are called."""
    for value in _parts(record):
        yield from (leaf for leaf in _leaves(value, keys=False) if isinstance(leaf, str))


def as_theirs(value: Any, people: People) -> Any:
    """What of a field may be shown to the subject: other people are there, and are nobody."""
    if isinstance(value, list):
        return [as_theirs(item, people) for item in value]
    if not isinstance(value, dict):
        return SOMEBODY if people.is_another(value) else value
    if _is_person(value) and not people.is_person(value):
        return SOMEBODY
    shown = fields_as_theirs(value, people)
    if people.is_person(value) and "email" in value:
        # Theirs, even if others have it too.
        shown["email"] = value["email"]
    return shown


def fields_as_theirs(value: JSON, people: People) -> JSON:
    """The same of all fields, of what is nobody itself, though it may have a `userId` or an `email`."""
    return {
        (SOMEBODY if people.is_another(name) else name): (
            [id_ if people.has(id_) else SOMEBODY for id_ in inner]
            if name in _LISTS_OF_IDS and isinstance(inner, list)
            else as_theirs(inner, people)
        )
        for name, inner in value.items()
    }


def without(value: Any, people: People, kept: Kept = _NOTHING) -> Any:
    """The same without the subject: nothing stands where they stood."""
    if isinstance(value, list):
        return [without(item, people) for item in value if not _is_theirs(item, people)]
    if not isinstance(value, dict):
        return value
    return {
        name: inner if _stays(name, kept) else without(inner, people, kept.get(name, _NOTHING))
        for name, inner in value.items()
        if name in kept or not (people.is_named_by(name) or _is_theirs(inner, people, name))
    }


def _stays(name: str, kept: Kept) -> bool:
    return name in kept and kept[name] is None


def _is_theirs(value: Any, people: People, name: str = "") -> bool:
    if name == "userId" and people.has(value):
        return True
    return people.is_person(value) if isinstance(value, dict) else people.is_named_by(value)


def _is_mentioned(record: Record, people: People) -> bool:
    return any(_is(leaf, people.theirs) for part in _parts(record) for leaf in _leaves(part))


def _parts(record: Record) -> tuple[JSON, JSON]:
    return _parsed(record.content), dict(record.private)


@lru_cache(maxsize=1)
def _parsed(content: bytes) -> JSON:
    """Each record is asked several things, one after the other; nobody changes what is given out here."""
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


def _everybody(record: Record) -> Iterator[Mapping[str, Any]]:
    """Content as a whole is nobody, whatever its fields are called."""
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
    """As ids are compared; empty when it is none. JSON has anything there, numbers among it."""
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
