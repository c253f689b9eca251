"""A command: a call to Velt about one notification, and how it is queued."""

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
    """`data` is the body that Velt gets: only the fields that are forwarded, so no content is queued."""

    kind: Kind
    notification: str
    data: JSON
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000, compare=False)
    """Epoch milliseconds. An erasure reaches commands created before it was requested."""

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
    """Where a command goes in a notification's queue."""

    APPEND = "behind"
    REPLACE_UNSENT = "instead"
    """Replace the commands that were never attempted."""
    REPLACE_IF_QUEUED = "if waiting"
    """Like REPLACE_UNSENT, but only if commands are queued."""
    APPEND_IF_QUEUED = "behind if waiting"
    """Like APPEND, but only if commands are queued."""


class Entry(NamedTuple):
    """A command to queue. With a claim token, the caller claims it in the same step if it is the first."""

    command: Command
    place: Place = Place.APPEND
    claim: str = ""
    lease_ms: int = 0
