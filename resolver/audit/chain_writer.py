"""Links events to the chain of this process and writes them: the chain goes on only from whole lines."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from resolver import __version__, clock
from resolver.audit.chain import Link, before_first, linked, signed_text
from resolver.audit.event import Event, as_json
from resolver.audit.signing import Signer
from resolver.audit.sink import Sink
from resolver.errors import AuditUnavailable

ANCHOR_SECONDS: Final = 1.0
_UNSIGNED_MS: Final = int(ANCHOR_SECONDS * 1000)
"""No line is written that is dated this much later than the first line without a signature."""


@dataclass(eq=False, slots=True)
class Entry:
    """An event on its way into the trail. Without an event: an anchor, unless all is signed already."""

    event: Event | None
    bodies: Sequence[bytes] = ()
    """The event's lines, without what the chain adds."""
    until: float = 0.0
    """When (monotonic) its request gives up."""
    done: threading.Event = field(default_factory=threading.Event)
    link: Link | None = None
    """The place of its last line, when all of them are written."""
    error: str = ""
    """Why its request is refused."""
    is_begun: bool = False
    """One of its lines is in the trail, or more."""

    def retraction(self) -> Entry | None:
        """What must follow when it says that something was done, and its request was refused."""
        if self.error and self.is_begun and self.event and self.event.outcome == "ok":
            failed = self.event.failed(AuditUnavailable.code)
            return Entry(failed, failed.bodies())
        return None


class _Position(NamedTuple):
    """How far a chain has come."""

    head: Link
    anchored: Link | None = None
    unsigned_since: int | None = None

    @property
    def is_signed(self) -> bool:
        return self.head == self.anchored


class _Draft:
    """Lines to be written together. `positions`: where the chain stands before the first and after each."""

    def __init__(self, start: _Position | None) -> None:
        self.at = clock.milliseconds()
        self._date = clock.millisecond(self.at)
        self.lines: list[bytes] = []
        self.positions: list[_Position | None] = [start]

    def add(self, body: bytes, after: _Position, *, is_anchor: bool = False) -> _Position:
        link, line = linked(after.head, self._date, body)
        since = self.at if after.unsigned_since is None else after.unsigned_since
        position = _Position(link, link) if is_anchor else _Position(link, after.anchored, since)
        self.lines.append(line)
        self.positions.append(position)
        return position

    def is_late(self, position: _Position) -> bool:
        """Whether its unsigned lines are older than they may become, or a clock was set. A chain's end that
        spans more was not written by a process of ours (`verify.py`)."""
        since = position.unsigned_since
        return since is not None and abs(self.at - since) >= _UNSIGNED_MS


class ChainWriter:
    """For one thread at a time, but for its properties."""

    def __init__(self, sink: Sink, signer: Signer) -> None:
        self._sink, self._signer = sink, signer
        self._position: _Position | None = None

    @property
    def head(self) -> Link | None:
        return self._position.head if self._position else None

    @property
    def is_signed(self) -> bool:
        return self._position is None or self._position.is_signed

    def write(self, entries: Sequence[Entry]) -> None:
        """Set `link` or `error` of each. An entry after a line that isn't whole has an error too, since its
        hash covers that line."""
        draft = _Draft(self._position)
        ends = [self._draft(entry, draft) for entry in entries]
        whole, error = self._sink.write(draft.lines) if draft.lines else (0, None)
        self._position = draft.positions[whole]
        for entry, end in zip(entries, ends, strict=True):
            position, entry.is_begun = draft.positions[end], end - len(entry.bodies) < whole
            if position and end <= whole:
                entry.link = position.head
            elif error:
                entry.error = f"audit: {type(error).__name__}"

    def close(self) -> None:
        self._sink.close()

    def _draft(self, entry: Entry, draft: _Draft) -> int:
        """Add its lines, and those that must stand before them. Return how many the draft has by then."""
        position = draft.positions[-1]
        if entry.event is None:
            if position and not position.is_signed:
                self._sign(position, draft)
            return len(draft.lines)
        if position is None:
            position = self._begin(draft)
        elif draft.is_late(position):
            position = self._sign(position, draft)
        for body in entry.bodies:
            position = draft.add(body, position)
        return len(draft.lines)

    def _begin(self, draft: _Draft) -> _Position:
        first = {
            "action": "begin",
            "version": __version__,
            "pid": os.getpid(),
            "key": self._signer.public_key,
        }
        return draft.add(as_json(first), _Position(before_first(secrets.token_hex(8))))

    def _sign(self, position: _Position, draft: _Draft) -> _Position:
        """An anchor, which covers all that stands before it."""
        signature = self._signer.sign(signed_text(position.head))
        body = as_json({"action": "anchor", "signs": position.head.seq, "signature": signature})
        return draft.add(body, position, is_anchor=True)
