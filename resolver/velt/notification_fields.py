"""The fields that are the notification endpoints' own: ids of few characters, places, contexts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resolver.validation.fields import IDENTIFIER, LONGEST_ID, Identifiers, Strict, is_identifier
from resolver.velt.field_allow_list import RESERVED_KEYS

JSON = dict[str, Any]


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
