"""Something that Velt is to be told about one notification, and how it is put in line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from resolver.errors import Unreadable

JSON = dict[str, Any]


class Kind(StrEnum):
    REGISTER = "register"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Command:
    """`data` is what Velt gets, to the byte: the forwarded half alone, so that no content waits in line."""

    kind: Kind
    notification: str
    data: JSON
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000, compare=False)
    """When it was made, in epoch milliseconds: an erasure reaches what was there when it was asked for."""

    def to_bytes(self) -> bytes:
        return orjson.dumps([self.kind, self.notification, self.data, self.created])

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> Command:
        try:
            kind, notification, data, created = orjson.loads(plaintext)
            return cls(Kind(kind), notification, data, int(created))
        except (orjson.JSONDecodeError, ValueError, TypeError):
            raise Unreadable() from None


class Place(StrEnum):
    """Where in a notification's line a command goes."""

    APPEND = "behind"
    """After whatever is waiting."""
    REPLACE_UNSENT = "instead"
    """In the place of what was never attempted; behind what was."""
    REPLACE_IF_QUEUED = "if waiting"
    """Like INSTEAD, and only when something is waiting at all."""
    APPEND_IF_QUEUED = "behind if waiting"
    """Like BEHIND, and only when something is waiting at all."""


class Entry(NamedTuple):
    """A command on its way into the line. With a claim, whoever puts it there tries it first."""

    command: Command
    place: Place = Place.APPEND
    claim: str = ""
    lease_ms: int = 0
