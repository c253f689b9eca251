"""One thing that happened, as plain values, and the lines that say it. Ids and people, never content.

What a stranger sent may be of any length and any character: it is shortened, and escaped to ASCII, so that
nothing in it can end a line or pass for another.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

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


class Event(NamedTuple):
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
    more: Mapping[str, Any] = MappingProxyType({})
    """Counts and codes."""

    def bodies(self) -> list[bytes]:
        """One JSON object for each line; several parts when the ids don't fit into one."""
        if self._is_short():
            head, ids, denied = (
                self._head(self.actor.id, self.request, self.organization),
                self.ids,
                self.denied,
            )
        else:
            head = self._head(shortened(self.actor.id), shortened(self.request), shortened(self.organization))
            ids, denied = list(map(shortened, self.ids)), list(map(shortened, self.denied))
        whole = as_json({**head, **_named(ids, denied)})
        if len(whole) <= LONGEST_LINE - _ENVELOPE:
            return [whole]
        room = max(1, LONGEST_LINE - _ENVELOPE - len(as_json(head)))
        parts = list(_parts(ids, denied, room))
        return [
            as_json({**head, **part, "part": f"{n}/{len(parts)}"}) for n, part in enumerate(parts, start=1)
        ]

    def failed(self, code: str) -> Event:
        """The event that what this one tells of didn't come to pass."""
        return self._replace(outcome="failed", ids=(), denied=(), more={"code": code})

    def _is_short(self) -> bool:
        """Whether no text in it needs shortening."""
        texts = (self.actor.id, self.request, self.organization, *self.ids, *self.denied)
        return max(map(len, texts)) <= _LONGEST_TEXT

    def _head(self, actor_id: str, request: str, organization: str) -> JSON:
        """What each line says, without what is empty."""
        who: JSON = {"kind": self.actor.kind}
        if actor_id:
            who["id"] = actor_id
        head: JSON = {"who": who, "surface": self.surface, "action": self.action, "outcome": self.outcome}
        if request:
            head["request"] = request
        if organization:
            head["organization"] = organization
        for name, value in self.more.items():
            if value != "":
                head[name] = value
        return head


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


def _named(ids: Sequence[str], denied: Sequence[str]) -> JSON:
    named: JSON = {}
    if ids:
        named["ids"] = ids
    if denied:
        named["denied"] = denied
    return named


def _parts(ids: Sequence[str], denied: Sequence[str], room: int) -> Iterator[JSON]:
    """Of like numbers of ids; one that is too long is parted again."""
    part, number = _named(ids, denied), len(ids) + len(denied)
    size = len(as_json(part))
    if size <= room or number <= 1:
        yield part
        return
    step = math.ceil(number / (size // room + 1))
    for start in range(0, number, step):
        first, last = start - len(ids), start - len(ids) + step
        yield from _parts(ids[start : start + step], denied[max(0, first) : max(0, last)], room)
