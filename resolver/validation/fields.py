"""Strict marshmallow fields: no value is coerced, and every message says what is valid.

marshmallow's own fields turn "10" into 10 and 1 into True, which Velt doesn't.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, fields

JSON = dict[str, Any]
LONGEST_ID = 512
LARGEST_EXACT = 2**53 - 1
"""The largest integer that every JSON parser reads exactly."""


def is_identifier(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and not value.isspace()


def is_valid_unicode(text: str) -> bool:
    """Whether a string can be encoded: JSON and terminals can produce lone surrogates, which can't."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


# The spaces of `str.isspace`: `\s` differs between languages' regular expressions.
_SPACES = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_FILLED: JSON = {
    "type": "string",
    "minLength": 1,
    "pattern": f"[^{_SPACES}]",
    "x-pattern-description": "not blank",
}
IDENTIFIER: JSON = {**_FILLED, "maxLength": LONGEST_ID}
_PERSON: JSON = {"type": "object", "required": ["userId"], "properties": {"userId": IDENTIFIER}}


class Strict(fields.Field[Any]):
    """A field with one rule. `expected` completes the sentence "<path> …"; `described` is the rule as a JSON
    schema, as far as that can express it."""

    expected = "is not valid"
    described: Mapping[str, Any] = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error_messages = {
            "required": "is required",
            "null": self.expected,
            "validator_failed": self.expected,
        }

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not self.holds(value):
            raise ValidationError(self.expected)
        return value

    def holds(self, value: Any) -> bool:
        raise NotImplementedError


class Text(Strict):
    expected = "must be a string"
    described: Mapping[str, Any] = {"type": "string"}

    def holds(self, value: Any) -> bool:
        return isinstance(value, str)


class Filled(Strict):
    """Text of any length that isn't blank."""

    expected = "must be a string that isn't blank"
    described = _FILLED

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and bool(value) and not value.isspace()


class Identifier(Strict):
    expected = f"must be a string of 1 to {LONGEST_ID} characters"
    described = IDENTIFIER
    holds = staticmethod(is_identifier)


class Flag(Strict):
    expected = "must be true or false"
    described: Mapping[str, Any] = {"type": "boolean"}

    def holds(self, value: Any) -> bool:
        return isinstance(value, bool)


class Mapped(Strict):
    expected = "must be an object"
    described: Mapping[str, Any] = {"type": "object"}

    def holds(self, value: Any) -> bool:
        return isinstance(value, dict)


class OneOf(Strict):
    def __init__(self, *options: str, **kwargs: Any) -> None:
        self.options = options
        self.expected = f"must be one of {', '.join(options)}"
        self.described = {"type": "string", "enum": list(options)}
        super().__init__(**kwargs)

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.options


class Whole(Strict):
    """An integer within a range. JSON's 10.0 is one; true and "10" are not."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        self.low, self.high = low, high
        self.expected = f"must be an integer from {low} to {high}"
        self.described = {"type": "integer", "minimum": low, "maximum": high}
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        return int(super()._deserialize(value, *args, **kwargs))

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and value == int(value)


class Identifiers(Strict):
    """A list of ids, checked in one pass."""

    each: Callable[[Any], bool] = staticmethod(is_identifier)
    item: JSON = IDENTIFIER

    def __init__(self, *, most: int | None = None, least: int = 0, **kwargs: Any) -> None:
        self.most, self.least = most, least
        most_items = {"maxItems": most} if most else {}
        self.described = {"type": "array", "items": self.item, "minItems": least, **most_items}
        bounds = f"{least} to {most} " if most else f"at least {least} " if least else ""
        self.expected = f"must be a list of {bounds}ids, each a string of 1 to {LONGEST_ID} characters"
        super().__init__(**kwargs)

    def holds(self, value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) >= self.least
            and (self.most is None or len(value) <= self.most)
            and all(map(self.each, value))
        )


class Person(Strict):
    described = _PERSON
    expected = f"must be an object whose userId is a string of 1 to {LONGEST_ID} characters"

    def holds(self, value: Any) -> bool:
        return is_person(value)


class People(Strict):
    described: Mapping[str, Any] = {"type": "array", "items": _PERSON}
    expected = f"must be a list of objects, each with a userId of 1 to {LONGEST_ID} characters"

    def holds(self, value: Any) -> bool:
        return isinstance(value, list) and all(map(is_person, value))


def is_person(value: Any) -> bool:
    return isinstance(value, dict) and is_identifier(value.get("userId"))


def as_notification_id(value: Any) -> str | None:
    """Convert an id as the SDK does: strings stay, exact integers become digits, others are None."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_EXACT:
        return str(value)
    return None


def sentence(error: ValidationError) -> str:
    """Join marshmallow's tree of messages into one line: "config.inbox must be one of ALL, MINE, NONE"."""
    return "; ".join(list(_sentences(error.messages, ""))[:5])


def _sentences(messages: Any, path: str) -> Any:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            # Names of a map are the caller's own text, of any length: shortened.
            step = path if name == "_schema" else f"{path}.{str(name)[:64]}"
            yield from _sentences(inner, step)
    else:
        for message in messages:
            yield f"{path.lstrip('.')} {message}".strip()
