"""Who is in a notification, and what of it is about whom. Pure.

People are where the schema has them (action user, audience), wherever an object in the content has a `userId`
or an `email`, and wherever a text is one of these ids or addresses and nothing else. Free text isn't
searched: a name in a sentence is found by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from resolver.record import Record

JSON = dict[str, Any]
SOMEBODY = "[another person]"


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody, by any of these. Addresses are compared without regard to case."""

    users: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()

    def is_in(self, person: Mapping[str, Any]) -> bool:
        return person.get("userId") in self.users or _email(person) in self.emails


@dataclass(frozen=True, slots=True)
class People:
    """Whose a name in one notification is: the subject's, or another known person's."""

    theirs: frozenset[str]
    known: Set[str]

    def is_another(self, value: Any) -> bool:
        return _is(value, self.known) and not _is(value, self.theirs)


def names_in(record: Record) -> set[str]:
    """Every id and address that is known to be somebody's."""
    people = {record.actor, *record.audience, *record.hidden}.union(*map(_names, _everybody(record)))
    return people - {""}


def people_in(record: Record, subject: Subject, known: Set[str]) -> People:
    """An id that stands beside one of the subject's addresses is theirs, in this notification. `known` are
    all people's names: in one notification a bare id may stand that only another one tells for a person's."""
    theirs = {*subject.users, *subject.emails}
    for person in _everybody(record):
        if subject.is_in(person):
            theirs |= _names(person)
    return People(frozenset(theirs), known)


def roles(record: Record, people: People) -> list[str]:
    """What the subject is in it; nothing when it isn't about them."""
    found = {
        "actor": record.actor in people.theirs,
        "recipient": not people.theirs.isdisjoint(record.audience),
        "left": not people.theirs.isdisjoint(record.hidden),
        "mentioned": any(_is(value, people.theirs) for value in _values(record)),
    }
    return [role for role, holds in found.items() if holds]


def texts_in(record: Record) -> Iterator[str]:
    """Every text in it, short or long, and what its keys are called."""
    return (value for value in _values(record) if isinstance(value, str))


def as_theirs(value: Any, people: People) -> Any:
    """What of it may be shown to the subject: other people are there, and are nobody."""
    if isinstance(value, list):
        return [as_theirs(item, people) for item in value]
    if not isinstance(value, dict):
        return SOMEBODY if people.is_another(value) else value
    if _is_person(value) and people.theirs.isdisjoint(_names(value)):
        return SOMEBODY
    return {
        (SOMEBODY if people.is_another(name) else name): as_theirs(inner, people)
        for name, inner in value.items()
    }


def without(value: Any, people: People) -> Any:
    """The same without the subject: nothing stands where they stood."""
    if isinstance(value, list):
        return [without(item, people) for item in value if not _is_theirs(item, people)]
    if not isinstance(value, dict):
        return value
    return {
        name: without(inner, people)
        for name, inner in value.items()
        if not _is(name, people.theirs) and not _is_theirs(inner, people)
    }


def _is_theirs(value: Any, people: People) -> bool:
    if isinstance(value, dict):
        return _is_person(value) and not people.theirs.isdisjoint(_names(value))
    return _is(value, people.theirs)


def _parts(record: Record) -> tuple[JSON, JSON]:
    return _parsed(record.content), dict(record.private)


@lru_cache(maxsize=1)
def _parsed(content: bytes) -> JSON:
    """Each record is asked several things, one after the other; nobody changes what is given out here."""
    parsed: JSON = orjson.loads(content)
    return parsed


def _values(record: Record) -> Iterator[Any]:
    for value in _parts(record):
        yield from _leaves(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _everybody(record: Record) -> Iterator[Mapping[str, Any]]:
    for value in _parts(record):
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


def _is_person(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("userId"), str) or isinstance(value.get("email"), str)


def _names(person: Mapping[str, Any]) -> set[str]:
    user = person.get("userId")
    return {name for name in (user if isinstance(user, str) else "", _email(person)) if name}


def _email(person: Mapping[str, Any]) -> str:
    email = person.get("email")
    return email.lower() if isinstance(email, str) else ""


def _is(value: Any, names: Set[str]) -> bool:
    return isinstance(value, str) and (value in names or value.lower() in names)
