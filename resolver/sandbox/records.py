"""The stored notifications: one per id and organization, in the order of their timestamps."""

import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resolver.sandbox.access import Members
from resolver.sandbox.validation import Json

_GONE = 1000


@dataclass
class Record:
    """A notification. `sent` is the caller's data, unchanged, with later updates merged in."""

    id: str
    sent: Json
    admitted: Members
    key: str = ""
    """The key it is stored under: its id, unless another notification keeps that."""
    timestamp: int = 0
    sequence: int = 0
    read: dict[str, bool] = field(default_factory=dict)
    """The users who have read it, and whether it stays in their "For You" tab."""
    gone: set[str] = field(default_factory=set)
    """The users whose copy was deleted."""

    @property
    def organization_id(self) -> str:
        return str(self.sent["organizationId"])

    @property
    def document_id(self) -> str:
        return str(self.sent["documentId"])

    @property
    def location_id(self) -> str | None:
        location: Json = self.sent.get("location", {})
        location_id = self.sent.get("locationId", location.get("id"))
        return None if location_id is None else str(location_id)

    @property
    def source(self) -> str:
        return str(self.sent.get("notificationSource", "custom"))

    @property
    def people(self) -> dict[str, Any]:
        return {person["userId"]: person for person in self.sent.get("notifyUsers", [])}

    @property
    def is_for_everyone(self) -> bool:
        return self.sent.get("notifyAll", True) is True

    @property
    def context(self) -> Json:
        access: Json = self.sent.get("context", {}).get("access", {})
        return access

    @property
    def has_readers(self) -> bool:
        return self.is_for_everyone or bool(self.people)

    def take_out(self, user_id: str) -> None:
        """Delete one user's copy; the others keep theirs."""
        left = [person for person in self.sent.get("notifyUsers", []) if person["userId"] != user_id]
        self.sent["notifyUsers"] = left
        self.gone.add(user_id)

    def raw(self) -> Json:
        """Return everything that is stored, to show what Velt would store."""
        return {
            "id": self.id,
            "organizationId": self.organization_id,
            "documentId": self.document_id,
            "notificationSource": self.source,
            "timestamp": self.timestamp,
            "readByUserIds": list(self.read),
            "persistReadForUserIds": [user_id for user_id, persists in self.read.items() if persists],
            "data": self.sent,
        }


class Records:
    def __init__(self) -> None:
        self._organizations: dict[str, dict[str, Record]] = {}
        self._sequence = 0
        self._latest = 0
        self._gone: deque[tuple[int, Record]] = deque(maxlen=_GONE)

    def put(self, record: Record, *, beside: bool = False) -> None:
        """Store it as the newest. It replaces an existing one with its id, unless `beside` keeps both."""
        known = self.find(record.organization_id, record.id)
        self._sequence += 1
        self._latest = max(self._latest, _now_ms())
        record.sequence, record.timestamp = self._sequence, self._latest
        record.key = f"{record.id} {record.sequence}" if known and beside else record.id
        if known and not beside:
            self.remove(known)
        self._organizations.setdefault(record.organization_id, {})[record.key] = record

    def find(self, organization_id: str, notification_id: str) -> Record | None:
        return self._organizations.get(organization_id, {}).get(notification_id)

    def remove(self, record: Record) -> None:
        self._organizations.get(record.organization_id, {}).pop(record.key, None)
        self._gone.append((_now_ms(), record))

    def of(self, organization_id: str) -> list[Record]:
        """Return an organization's notifications, oldest first."""
        return list(self._organizations.get(organization_id, {}).values())

    def of_a_moment_ago(self, organization_id: str, lag_ms: int) -> list[Record]:
        """Return an organization's notifications as they were `lag_ms` ago, oldest first."""
        then = _now_ms() - lag_ms
        gone = [
            record for at, record in self._gone if at > then and record.organization_id == organization_id
        ]
        return [record for record in (*gone, *self.of(organization_id)) if record.timestamp <= then]

    def __iter__(self) -> Iterator[Record]:
        for organization_id in self._organizations:
            yield from self.of(organization_id)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Make an id that looks like Velt's own: a number of 16 digits."""
    return str(10**15 + secrets.randbelow(9 * 10**15))
