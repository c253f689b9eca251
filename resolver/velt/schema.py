"""How a request is checked: its keys first, then their values.

A key that a call doesn't know is never just dropped: what it was meant to narrow would be done to more than
was meant. What becomes of it depends on the call (`UnknownKeys`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, pre_load

from resolver.errors import InvalidArgument, TooLarge
from resolver.validation.fields import IDENTIFIER, LONGEST_ID, Identifiers, Strict, is_identifier, sentence
from resolver.validation.spelling import misspelt, nearest
from resolver.velt.field_allow_list import NARROWING, RESERVED_KEYS, STRUCTURE, is_reserved

JSON = dict[str, Any]
_MOST_NAMED = 5
_MOST_WARNINGS = 20
_MOST_UNKNOWN = 4000
"""Names in one request that are compared with the known keys: some 0.1 ms each at worst."""
_LONGEST_NAMED = 64
_UNKNOWN = "is not a key of this call"
# In entries of updates `id` is required, and too short to be told from other words by its letters.
_OTHER_STRUCTURE = STRUCTURE - NARROWING - {"id"}
# Words of their own, for whatever they look like: one letter from `context`, two from an id's key.
_WORDS = frozenset({"content", "notification", "organization"})


class UnknownKeys(Enum):
    """What becomes of a key that isn't the call's."""

    REFUSED = "refused"
    """The call deletes, sets or changes something."""
    IGNORED = "ignored"
    """The call reads: named in the reply. A misspelt key that narrows the read is refused."""
    CONTENT = "content"
    """The call brings content: kept. A misspelt structural key is refused."""


class Request(Schema):
    between: ClassVar[JSON] = {}
    """What `validates_schema` holds between fields, as a JSON schema."""
    unknown_keys: ClassVar[UnknownKeys] = UnknownKeys.REFUSED
    narrowing: ClassVar[frozenset[str]] = frozenset()
    """Of a read: the keys without which it would answer more."""
    misplaced: ClassVar[frozenset[str]] = frozenset()
    """Of an entry: keys that bound the whole request, and not one entry of it."""
    checked_elsewhere: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _check_keys(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict) or data.keys() <= self.fields.keys():
            return data
        if problems := dict(islice(self._problems(data), _MOST_NAMED)):
            raise ValidationError(problems)
        return data

    def unknown_in(self, data: JSON) -> list[str]:
        return [name for name in data if name not in self.fields and name not in self.checked_elsewhere]

    def _problems(self, data: JSON) -> Iterator[tuple[str, list[str]]]:
        for name in self.unknown_in(data):
            if problem := self._problem(name):
                yield name, [problem]

    def _problem(self, name: str) -> str | None:
        match self.unknown_keys:
            case UnknownKeys.REFUSED:
                known = self.fields.keys() | self.checked_elsewhere
                meant = nearest(name, sorted(known))
                return (
                    _did_you_mean(meant) if meant else f"{_UNKNOWN}, which takes {', '.join(sorted(known))}"
                )
            case UnknownKeys.IGNORED:
                meant = misspelt(name, self.narrowing)
            case UnknownKeys.CONTENT:
                if name in self.misplaced:
                    return "belongs beside notifications, not in an entry"
                meant = None if name in _WORDS or is_reserved(name) else _structure_meant(name)
        return _did_you_mean(meant) if meant else None


def _structure_meant(name: str) -> str | None:
    """Content may be called almost like what decides nothing about its readers (`notificationSourceUrl`)."""
    return misspelt(name, NARROWING) or misspelt(name, _OTHER_STRUCTURE, slips_only=True)


def parse(schema: Request, data: Any) -> JSON:
    if not isinstance(data, dict):
        raise InvalidArgument("data must be an object")
    return parse_all(schema, [data])[0]


def parse_all(schema: Request, objects: Sequence[JSON]) -> list[JSON]:
    """Several objects of one request."""
    _ensure_comparable(schema, objects)
    try:
        return [schema.load(data) for data in objects]
    except ValidationError as error:
        raise InvalidArgument(sentence(error)) from None


def _ensure_comparable(schema: Request, objects: Sequence[JSON]) -> None:
    """Refuse more unknown names in one request than can be compared in time."""
    if sum(map(len, objects)) <= _MOST_UNKNOWN:
        return
    if len({name for data in objects for name in schema.unknown_in(data)}) > _MOST_UNKNOWN:
        raise TooLarge(
            f"A request may hold {_MOST_UNKNOWN} different keys that the API doesn't know at most."
        )


def ignored(schema: Request, data: JSON) -> list[str]:
    """Name what a read leaves unheard, for its reply's `warnings`."""
    unknown = schema.unknown_in(data)
    named = [_ignored(name, nearest(name, schema.fields)) for name in unknown[:_MOST_WARNINGS]]
    more = len(unknown) - len(named)
    return [*named, f"{more} more keys were ignored"] if more else named


def with_warnings(result: JSON, warnings: list[str]) -> JSON:
    """The whole answer; without anything to say it is as it was."""
    return {"result": {**result, "warnings": warnings} if warnings else result}


def _ignored(name: str, meant: str | None) -> str:
    said = f"{name[:_LONGEST_NAMED]} {_UNKNOWN} and was ignored"
    return f"{said}; did you mean {meant}?" if meant else said


def _did_you_mean(meant: str) -> str:
    return f"{_UNKNOWN}; did you mean {meant}?"


def is_notification_id(value: Any) -> bool:
    return is_identifier(value) and re.fullmatch(r"[A-Za-z0-9_-]+", value) is not None


_NOTIFICATION_ID: JSON = {
    "type": "string",
    "pattern": f"^[A-Za-z0-9_-]{{1,{LONGEST_ID}}}$",
    "x-pattern-description": f"1 to {LONGEST_ID} letters, digits, _ and -",
}
_SCALAR: JSON = {"anyOf": [{"type": "number"}, IDENTIFIER]}
_PLACE: JSON = {"type": "object", "properties": {"id": _SCALAR}}


_RESERVED_ACCESS, _RESERVED_PREFIX = "organizationPrivate", "__velt_private_self:"


class NotificationId(Strict):
    described = _NOTIFICATION_ID
    expected = f"may hold letters, digits, _ and - only, 1 to {LONGEST_ID} of them"

    def holds(self, value: Any) -> bool:
        return is_notification_id(value)


class Context(Strict):
    described: Mapping[str, Any] = {
        "type": "object",
        "required": ["access"],
        "properties": {
            "access": {
                "type": "object",
                "maxProperties": 200,
                "propertyNames": {
                    **IDENTIFIER,
                    "not": {
                        "anyOf": [
                            {"enum": sorted({*RESERVED_KEYS, _RESERVED_ACCESS})},
                            {"pattern": f"^{_RESERVED_PREFIX}"},
                        ]
                    },
                },
                "additionalProperties": _SCALAR,
            }
        },
    }
    expected = (
        "must be an object whose access is an object of at most 200 numbers or strings, of 1 to "
        f"{LONGEST_ID} characters, under names of as many, none of them reserved (as {_RESERVED_ACCESS} and "
        f"{_RESERVED_PREFIX} are, for Velt)"
    )

    def holds(self, value: Any) -> bool:
        access = value.get("access") if isinstance(value, dict) else None
        return (
            isinstance(access, dict)
            and len(access) <= 200
            and all(map(is_identifier, access))
            and not any(map(_is_reserved, access))
            and all(map(_is_scalar, access.values()))
        )


class LocationId(Strict):
    """A string in REST, a number in the browser's types: Velt takes both."""

    described = _SCALAR
    expected = f"must be a number or a string of 1 to {LONGEST_ID} characters"

    def holds(self, value: Any) -> bool:
        return _is_scalar(value)


class Location(Strict):
    described: Mapping[str, Any] = {"type": "object", "properties": {"id": _SCALAR, "version": _PLACE}}
    expected = "must be an object; its id, and its version's id, are strings or numbers"

    def holds(self, value: Any) -> bool:
        return _has_scalar_id(value) and _has_scalar_id(value.get("version", {}))


class NotificationIds(Identifiers):
    """Of notifications: the characters are limited, so that no text passes for an id."""

    each = staticmethod(is_notification_id)
    item = _NOTIFICATION_ID


def _is_reserved(name: str) -> bool:
    return name in RESERVED_KEYS or name == _RESERVED_ACCESS or name.startswith(_RESERVED_PREFIX)


def _is_scalar(value: Any) -> bool:
    return is_identifier(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _has_scalar_id(value: Any) -> bool:
    return isinstance(value, dict) and ("id" not in value or _is_scalar(value["id"]))
