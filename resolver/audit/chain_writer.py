"""Link events into this process's chain and write them. The chain continues only from lines written whole."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from resolver import __version__, clock
from resolver.audit.chain import Link, chain_start, linked, signed_text
from resolver.audit.event import Event, as_json
from resolver.audit.signing import Signer
from resolver.audit.sink import Sink
from resolver.errors import AuditUnavailable

CHECKPOINT_SECONDS: Final = 1.0
_UNSIGNED_MS: Final = int(CHECKPOINT_SECONDS * 1000)
"""A checkpoint comes before any line dated this much later than the first unsigned line."""


@dataclass(eq=False, slots=True)
class ChainEntry:
    """An event to write. Without an event: a checkpoint, unless all lines are signed."""

    event: Event | None
    bodies: Sequence[bytes] = ()
    """The event's lines, without the fields that the chain adds."""
    until: float = 0.0
    """When (monotonic) its request gives up."""
    done: threading.Event = field(default_factory=threading.Event)
    link: Link | None = None
    """The link of its last line, once all are written."""
    error: str = ""
    """Why its request is refused."""
    is_begun: bool = False
    """At least one of its lines is in the trail."""

    def retraction(self) -> ChainEntry | None:
        """The `failed` entry that must follow when its line is in the trail and its request was refused."""
        if self.error and self.is_begun and self.event and self.event.outcome == "ok":
            failed = self.event.failed(AuditUnavailable.code)
            return ChainEntry(failed, failed.bodies())
        return None


class _Position(NamedTuple):
    """How far a chain is written and signed."""

    head: Link
    signed_head: Link | None = None
    unsigned_since: int | None = None

    @property
    def is_signed(self) -> bool:
        return self.head == self.signed_head


class _Draft:
    """Lines to write together. `positions`: those of the chain before the first line and after each."""

    def __init__(self, start: _Position | None) -> None:
        self.at = clock.milliseconds()
        self._date = clock.millisecond(self.at)
        self.lines: list[bytes] = []
        self.positions: list[_Position | None] = [start]

    def add(self, body: bytes, after: _Position, *, is_checkpoint: bool = False) -> _Position:
        link, line = linked(after.head, self._date, body)
        since = self.at if after.unsigned_since is None else after.unsigned_since
        position = _Position(link, link) if is_checkpoint else _Position(link, after.signed_head, since)
        self.lines.append(line)
        self.positions.append(position)
        return position

    def is_late(self, position: _Position) -> bool:
        """Whether a checkpoint is overdue, or a clock was set. `verify.py` takes a longer unsigned end for
        one that our processes didn't write."""
        since = position.unsigned_since
        return since is not None and abs(self.at - since) >= _UNSIGNED_MS


class ChainWriter:
    """Only one thread at a time may use it, except for its properties."""

    def __init__(self, sink: Sink, signer: Signer) -> None:
        self._sink, self._signer = sink, signer
        self._position: _Position | None = None

    @property
    def head(self) -> Link | None:
        return self._position.head if self._position else None

    @property
    def is_signed(self) -> bool:
        return self._position is None or self._position.is_signed

    def write(self, entries: Sequence[ChainEntry]) -> None:
        """Write entries, and set `link` or `error` of each. Entries after a line that wasn't written whole
        fail too, since their hashes cover it."""
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

    def _draft(self, entry: ChainEntry, draft: _Draft) -> int:
        """Add an entry's lines, and the lines that must precede them. Returns the draft's number of lines."""
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
        return draft.add(as_json(first), _Position(chain_start(secrets.token_hex(8))))

    def _sign(self, position: _Position, draft: _Draft) -> _Position:
        """Add a checkpoint, which signs all lines before it."""
        signature = self._signer.sign(signed_text(position.head))
        body = as_json({"action": "anchor", "signs": position.head.seq, "signature": signature})
        return draft.add(body, position, is_checkpoint=True)
