"""All state of the sandbox: in memory, behind one lock."""

import time
from dataclasses import dataclass, fields
from threading import RLock
from typing import Any, ClassVar

import orjson

from resolver.sandbox.access import Access
from resolver.sandbox.faults import Faults
from resolver.sandbox.records import Records
from resolver.sandbox.validation import Check, Fields, Json, flag, integer, one_of

_LONGEST_LAG_MS = 60_000


@dataclass
class Entry:
    at: int
    path: str
    raw: bytes
    status: int | None = None
    """The status of the reply; None until there is one, and if the connection was dropped."""

    def shape(self) -> Json:
        return {
            "at": self.at,
            "path": self.path,
            "body": _parsed(self.raw),
            "raw": self.raw.decode(errors="replace"),
            "status": self.status,
        }


class Ledger:
    """Every request body that reached Velt's paths: the proof of what Velt received."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def receive(self, path: str, raw: bytes) -> Entry:
        entry = Entry(time.time_ns() // 1_000_000, path, raw)
        self._entries.append(entry)
        return entry

    def shape(self, path: str | None) -> list[Json]:
        return [entry.shape() for entry in self._entries if path in (None, entry.path)]


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


@dataclass(frozen=True)
class Answers:
    """How the sandbox answers where Velt's documentation leaves it open."""

    addAgain: str = "replace"
    """An add of an existing id: it replaces the notification, is refused, changes nothing, or adds a
    second."""
    unknownUpdate: str = "reported"
    """An update of an unknown id: it is reported as failed, the request is refused, or it is confirmed."""
    unknownDelete: str = "reported"
    getFlag: bool = False
    """Whether a get returns `isNotificationResolverUsed`."""
    getSource: bool = True
    displayFields: str = "as sent"
    """Display fields of a get: only those sent, or texts of Velt's own for the others."""
    addWithoutUsers: str = "taken"
    """An add without `notifyUsers`: taken, or refused."""
    addWithEmptyUsers: str = "taken"
    blankUpdate: str = "taken"
    """An update with empty texts: taken, or refused."""
    deleteForUser: str = "copy"
    """A deletion with `userId` removes that user's copy, or the row for everyone."""
    lagMs: int = 0
    """A get returns the state of this long ago."""

    CHECKS: ClassVar[dict[str, Check[object]]] = {
        "addAgain": one_of("replace", "refuse", "keep", "duplicate"),
        "unknownUpdate": one_of("reported", "refuse", "success"),
        "unknownDelete": one_of("reported", "refuse", "success"),
        "getFlag": flag,
        "getSource": flag,
        "displayFields": one_of("as sent", "invented"),
        "addWithoutUsers": one_of("taken", "refused"),
        "addWithEmptyUsers": one_of("taken", "refused"),
        "blankUpdate": one_of("taken", "refused"),
        "deleteForUser": one_of("copy", "row"),
        "lagMs": integer(0, _LONGEST_LAG_MS),
    }

    def declared(self, body: Fields) -> "Answers":
        """Apply a control request. Answers that it does not name stay unchanged."""
        body.refuse_others(set(self.CHECKS))
        return Answers(**{**self.shape(), **{n: body.required(n, self.CHECKS[n]) for n in body.values}})

    def shape(self) -> Json:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def reports(answer: str, *, known: bool) -> bool:
    """Whether the reply says that an id was found."""
    return known or answer == "success"


class State:
    """All state. Hold `lock` while reading or changing a part; never wait under it."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.lock = RLock()
        self.faults = Faults()
        self._empty()

    def reset(self) -> None:
        with self.lock:
            self.faults.clear()
            self._empty()

    def _empty(self) -> None:
        self.access = Access()
        self.answers = Answers()
        self.ledger = Ledger()
        self.records = Records()
        self.preferences: dict[tuple[str, str, str | None], dict[str, str]] = {}
        """Channels by (organization, user, document); document None is the organization's level."""
        self.jobs: dict[str, int] = {}
        """Jobs that delete user data: how many status calls until each is done."""
        self.workspace: dict[str, object] = {"useNotificationService": False, "notificationServiceConfig": {}}
