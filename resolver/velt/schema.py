"""Validation of requests: keys first, then values.

An unknown key is never silently dropped: it may be a misspelt one that restricts the call, which would then
do more than its caller wants. `UnknownKeys` says what each call does with them.
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
_MAX_NAMED = 5
_MAX_WARNINGS = 20
_MAX_UNKNOWN = 4000
"""Unknown names in one request that are compared with the known keys, at up to 0.1 ms each."""
_MAX_NAME = 64
_NOT_A_KEY = "is not a key of this call"
# `id` is required in entries of updates, and too short to recognize misspellings.
_OTHER_STRUCTURE = STRUCTURE - NARROWING - {"id"}
# Real words that look like misspelt keys (`context`, `notificationId`, `organizationId`).
_WORDS = frozenset({"content", "notification", "organization"})


class UnknownKeys(Enum):
    """Treatment of keys that a call doesn't know."""

    REFUSED = "refused"
    """For calls that delete, set or change something."""
    IGNORED = "ignored"
    """For calls that read: named in the reply. A misspelt key that restricts the read is refused."""
    CONTENT = "content"
    """For calls with content: stored. A misspelt structural key is refused."""


class Request(Schema):
    between: ClassVar[JSON] = {}
    """The rules of `validates_schema` between fields, as a JSON schema."""
    unknown_keys: ClassVar[UnknownKeys] = UnknownKeys.REFUSED
    narrowing: ClassVar[frozenset[str]] = frozenset()
    """Keys that restrict a read."""
    misplaced: ClassVar[frozenset[str]] = frozenset()
    """Keys that restrict the whole request, so an entry must not have them."""
    checked_elsewhere: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _check_keys(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict) or data.keys() <= self.fields.keys():
            return data
        if problems := dict(islice(self._problems(data), _MAX_NAMED)):
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
                    _did_you_mean(meant) if meant else f"{_NOT_A_KEY}, which takes {', '.join(sorted(known))}"
                )
            case UnknownKeys.IGNORED:
                meant = misspelt(name, self.narrowing)
            case UnknownKeys.CONTENT:
                if name in self.misplaced:
                    return "belongs beside notifications, not in an entry"
                meant = None if name in _WORDS or is_reserved(name) else _structural_key(name)
        return _did_you_mean(meant) if meant else None


def _structural_key(name: str) -> str | None:
    """The structural key that a name is a misspelling of. For keys that restrict nothing, only slips count: a
    content key may have a similar name (`notificationSourceUrl`)."""
    return misspelt(name, NARROWING) or misspelt(name, _OTHER_STRUCTURE, slips_only=True)


def parse(schema: Request, data: Any) -> JSON:
    if not isinstance(data, dict):
        raise InvalidArgument("data must be an object")
    return parse_all(schema, [data])[0]


def parse_all(schema: Request, objects: Sequence[JSON]) -> list[JSON]:
    """Parse several objects of one request."""
    _ensure_comparable(schema, objects)
    try:
        return [schema.load(data) for data in objects]
    except ValidationError as error:
        raise InvalidArgument(sentence(error)) from None


def _ensure_comparable(schema: Request, objects: Sequence[JSON]) -> None:
    """Refuse more unknown names in one request than can be compared in time."""
    if sum(map(len, objects)) <= _MAX_UNKNOWN:
        return
    if len({name for data in objects for name in schema.unknown_in(data)}) > _MAX_UNKNOWN:
        raise TooLarge(
            f"A request may contain at most {_MAX_UNKNOWN} different keys that the API doesn't know."
        )


def ignored(schema: Request, data: JSON) -> list[str]:
    """Name the keys that a read ignores, for its reply's `warnings`."""
    unknown = schema.unknown_in(data)
    named = [_ignored(name, nearest(name, schema.fields)) for name in unknown[:_MAX_WARNINGS]]
    more = len(unknown) - len(named)
    return [*named, f"{more} more keys were ignored"] if more else named


def with_warnings(result: JSON, warnings: list[str]) -> JSON:
    """Wrap a result, with `warnings` if there are any."""
    return {"result": {**result, "warnings": warnings} if warnings else result}


def _ignored(name: str, meant: str | None) -> str:
    said = f"{name[:_MAX_NAME]} {_NOT_A_KEY} and was ignored"
    return f"{said}; did you mean {meant}?" if meant else said


def _did_you_mean(meant: str) -> str:
    return f"{_NOT_A_KEY}; did you mean {meant}?"


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
    expected = f"must be 1 to {LONGEST_ID} letters, digits, _ or -"

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
        f"must be an object whose access has at most 200 names of 1 to {LONGEST_ID} characters, each with a "
        f"number or a string of 1 to {LONGEST_ID} characters; {_RESERVED_ACCESS}, names that begin with "
        f"{_RESERVED_PREFIX} and JavaScript's special keys are reserved"
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
    """Velt accepts both a string, as in REST, and a number, as in the browser's types."""

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
    """Ids of notifications. Their characters are limited, so that no text is taken for an id."""

    each = staticmethod(is_notification_id)
    item = _NOTIFICATION_ID


def _is_reserved(name: str) -> bool:
    return name in RESERVED_KEYS or name == _RESERVED_ACCESS or name.startswith(_RESERVED_PREFIX)


def _is_scalar(value: Any) -> bool:
    return is_identifier(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _has_scalar_id(value: Any) -> bool:
    return isinstance(value, dict) and ("id" not in value or _is_scalar(value["id"]))
