"""One thing that happened, as plain values, and the lines that say it. Ids and people, never content.

What a stranger sent may be of any length and any character: it is shortened, and escaped to ASCII, so that
nothing in it can end a line or pass for another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

JSON = dict[str, Any]
Outcome = Literal["ok", "denied", "refused", "failed"]
LONGEST_LINE = 4096
"""What one write puts into a pipe whole, whoever else writes into it."""
_ENVELOPE = 512
"""For what the chain adds: its name, position, time and hash."""
_LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class Actor:
    kind: Literal["user", "backend", "ops", "unknown", "system"]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    actor: Actor
    surface: str
    action: str
    outcome: Outcome
    request: str = ""
    organization: str = ""
    ids: Sequence[str] = ()
    """What it was done to. Of a read: what was given out."""
    denied: Sequence[str] = ()
    """What is held and was not given out."""
    more: JSON = field(default_factory=dict)
    """Counts and codes."""

    def bodies(self) -> list[JSON]:
        """One for each line; several parts when the ids don't fit into one."""
        head = self._head()
        named = {"ids": list(map(shortened, self.ids)), "denied": list(map(shortened, self.denied))}
        whole = {**head, **{name: ids for name, ids in named.items() if ids}}
        if len(as_json(whole)) <= LONGEST_LINE - _ENVELOPE:
            return [whole]
        room = LONGEST_LINE - _ENVELOPE - len(as_json(head))
        parts = list(_parts([(name, id_) for name, ids in named.items() for id_ in ids], room))
        return [{**head, **part, "part": f"{n}/{len(parts)}"} for n, part in enumerate(parts, start=1)]

    def _head(self) -> JSON:
        said = {
            "who": {"kind": self.actor.kind, **({"id": shortened(self.actor.id)} if self.actor.id else {})},
            "surface": self.surface,
            "action": self.action,
            "outcome": self.outcome,
            "request": shortened(self.request),
            "organization": shortened(self.organization),
            **self.more,
        }
        return {name: value for name, value in said.items() if value != ""}


def as_json(value: Any) -> bytes:
    """ASCII alone: a line separator of Unicode, or a terminal's escape, is spelt out."""
    plain = orjson.dumps(value)
    if plain.isascii() and b"\x7f" not in plain:
        return plain
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("\x7f", "\\u007f").encode()


def shortened(text: str) -> str:
    """Still telling one long text from another."""
    if len(text) <= _LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: _LONGEST_TEXT - 20]}...{digest}"


def _parts(ids: list[tuple[str, str]], room: int) -> Iterator[JSON]:
    part: JSON = {}
    left = room
    for name, id_ in ids:
        size = len(as_json(id_)) + 1
        if size > left and part:
            yield part
            part, left = {}, room
        part.setdefault(name, []).append(id_)
        left -= size
    yield part
