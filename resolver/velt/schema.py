"""How a request is checked: its keys first, then their values.

A key that a call doesn't know is never just dropped: what it was meant to narrow would be done to more than
was meant. What becomes of it depends on the call (`UnknownKeys`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import islice
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, pre_load

from resolver.errors import InvalidArgument, TooLarge
from resolver.validation.fields import sentence
from resolver.validation.spelling import misspelt, nearest
from resolver.velt.field_allow_list import NARROWING, STRUCTURE, is_reserved

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
        if isinstance(data, dict) and (problems := dict(islice(self._problems(data), _MOST_NAMED))):
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


def _ensure_comparable(schema: Request, objects: Iterable[JSON]) -> None:
    """Refuse more unknown names in one request than can be compared in time."""
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
