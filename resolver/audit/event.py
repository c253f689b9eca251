"""An event of the audit trail, and its lines. They contain ids and people, never content.

Ids of clients may have any length and any characters. They are shortened, and escaped to ASCII, so that no id
can end a line or look like another line.
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
MAX_LINE_BYTES = 4096
"""A write of up to this size to a pipe is never mixed with other processes' writes."""
_ENVELOPE = 512
"""Bytes that the chain adds: its name, position, time and hash."""
_MAX_TEXT = 100


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
    """The notifications that were changed, or returned by a read."""
    denied: Sequence[str] = ()
    """Notifications that are held and were not returned or changed."""
    more: Mapping[str, Any] = MappingProxyType({})
    """Counts and codes."""

    def bodies(self) -> list[bytes]:
        """The event as JSON objects, one for each line: several parts when its ids don't fit into one."""
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
        if len(whole) <= MAX_LINE_BYTES - _ENVELOPE:
            return [whole]
        room = max(1, MAX_LINE_BYTES - _ENVELOPE - len(as_json(head)))
        parts = list(_parts(ids, denied, room))
        return [
            as_json({**head, **part, "part": f"{n}/{len(parts)}"}) for n, part in enumerate(parts, start=1)
        ]

    def failed(self, code: str) -> Event:
        """The event that says that this one was not carried out."""
        return self._replace(outcome="failed", ids=(), denied=(), more={"code": code})

    def _is_short(self) -> bool:
        """Whether no text in it needs shortening."""
        texts = (self.actor.id, self.request, self.organization, *self.ids, *self.denied)
        return max(map(len, texts)) <= _MAX_TEXT

    def _head(self, actor_id: str, request: str, organization: str) -> JSON:
        """The fields of every line of the event, without empty ones."""
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
    """JSON in ASCII: Unicode's line separators and terminal escapes are escaped."""
    plain = orjson.dumps(value)
    if plain.isascii() and b"\x7f" not in plain:
        return plain
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("\x7f", "\\u007f").encode()


def shortened(text: str) -> str:
    """Shorten a long text, with a digest that tells it from other texts."""
    if len(text) <= _MAX_TEXT:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: _MAX_TEXT - 20]}...{digest}"


def _named(ids: Sequence[str], denied: Sequence[str]) -> JSON:
    named: JSON = {}
    if ids:
        named["ids"] = ids
    if denied:
        named["denied"] = denied
    return named


def _parts(ids: Sequence[str], denied: Sequence[str], room: int) -> Iterator[JSON]:
    """Split ids into parts of equal numbers; split a part again that is too long."""
    part, number = _named(ids, denied), len(ids) + len(denied)
    size = len(as_json(part))
    if size <= room or number <= 1:
        yield part
        return
    step = math.ceil(number / (size // room + 1))
    for start in range(0, number, step):
        first, last = start - len(ids), start - len(ids) + step
        yield from _parts(ids[start : start + step], denied[max(0, first) : max(0, last)], room)
