"""Every request body that ever reached Velt's paths: the proof of what Velt saw."""

import time
from dataclasses import dataclass
from typing import Any

import orjson

from resolver.sandbox.validation import Json


@dataclass
class Entry:
    at: int
    path: str
    raw: bytes
    status: int | None = None
    """What was answered; None while the request is under way, and for good when it was dropped."""

    def shape(self) -> Json:
        return {
            "at": self.at,
            "path": self.path,
            "body": _parsed(self.raw),
            "raw": self.raw.decode(errors="replace"),
            "status": self.status,
        }


class Ledger:
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
