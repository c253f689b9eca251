"""The trail of one process: its chain, its outlet, and its anchors.

A line is written before what it tells of takes effect. When it can't be in time, `record` raises, and its
caller lets nothing happen: what isn't on record isn't done.
"""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from resolver import __version__, utc
from resolver.audit.background import ANCHOR_SECONDS, Background
from resolver.audit.chain import Link, before_first, linked, signed_text
from resolver.audit.event import Actor, Event, as_json
from resolver.audit.outlet import Outlet
from resolver.audit.refusals import Refusals
from resolver.audit.signing import Signer
from resolver.deadline import CURRENT
from resolver.errors import AuditUnavailable
from resolver.metrics import meters

_ANCHOR = b'{"action":"anchor"'
PATIENCE_SECONDS: Final = 0.5
_LEAST_SECONDS = 0.01
_UNSIGNED_MS: Final = int(ANCHOR_SECONDS * 1000)
"""No line is written that is dated this much later than the first line without a signature."""
KeepAnchor = Callable[[Link, str], None]
"""Remembers elsewhere how long a chain is; may raise Unavailable."""
Unanchored = Callable[[str], None]
"""Hears why an anchor couldn't be made."""
_log = structlog.get_logger(__name__)


def log_it(reason: str) -> None:
    _log.warning("audit_anchor_failed", reason=reason)


def _patience() -> float:
    """No more than half of what the request has left: it may have more to put on record, and others of its
    thread may wait for it."""
    if deadline := CURRENT.get():
        return max(_LEAST_SECONDS, min(PATIENCE_SECONDS, deadline.remaining() / 2))
    return PATIENCE_SECONDS


class Trail:
    """Nothing is opened or begun before the first event. Build it after fork: a chain is one process's."""

    def __init__(
        self,
        path: str,
        signer: Signer,
        keep_anchor: KeepAnchor | None = None,
        *,
        standard: int = 1,
        unanchored: Unanchored = log_it,
    ) -> None:
        self._unanchored = unanchored
        self._outlet = Outlet(path, standard)
        self._signer = signer
        self._keep_anchor = keep_anchor
        self._lock = threading.Lock()
        self._head: Link | None = None
        self._anchored: Link | None = None
        self._told: Link | None = None
        self._unsigned_since: int | None = None
        self._refusals = Refusals()
        self._background = Background(self._catch_up)

    def record(self, event: Event) -> Link:
        """Where it stands. AuditUnavailable when it can't be written within half a second."""
        bodies = event.bodies()
        try:
            head = self._append(lambda _head: bodies)
        except AuditUnavailable:
            meters.AUDIT_FAILURES.labels("line").inc()
            raise
        if not self._background.request():
            self._anchor(None)  # no thread can be started: what is written is signed all the same
        return head

    def refused(self, event: Event) -> None:
        """A refusal of a caller without a valid credential: a line, or counted when there are too many."""
        unrecorded = self._refusals.admit()
        if unrecorded is None:
            meters.UNRECORDED.labels(event.surface).inc()
            self._background.request()
            return
        self._record_with(unrecorded, event)

    def close(self) -> None:
        """With a last anchor, so that the end is covered too. One that is just being made is waited for: with
        the process, its thread would end."""
        self._background.stop()
        self._count_refusals(at_the_end=True)
        if self._head:
            self._anchor(self._keep_anchor)
        # Recording the last number may have asked for it again.
        self._background.stop()
        if self._lock.acquire(timeout=PATIENCE_SECONDS):
            self._outlet.close()
            self._lock.release()

    def _append(self, bodies: Callable[[Link], list[bytes]]) -> Link:
        seconds = _patience()
        until = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise AuditUnavailable("audit: busy")
        try:
            head = self._signed_in_time(self._head or self._begin(until), until)
            for body in bodies(head):
                head = self._write(head, body, until)
        except OSError as error:
            raise AuditUnavailable(f"audit: {type(error).__name__}") from error
        finally:
            self._lock.release()
        return head

    def _write(self, head: Link, body: bytes, until: float) -> Link:
        """The chain goes on only from what was written whole."""
        at = utc.milliseconds()
        link, line = linked(head, utc.millisecond(at), body)
        self._outlet.write(line, until)
        self._head = link
        if body.startswith(_ANCHOR):
            self._anchored, self._unsigned_since = link, None
        elif self._unsigned_since is None:
            self._unsigned_since = at
        return link

    def _signed_in_time(self, head: Link, until: float) -> Link:
        """Signs what stands there before more is added to it, when the thread that should have is late, or a
        clock was set. A chain's end that spans more was not written by a process of ours (`verify.py`)."""
        since = self._unsigned_since
        if since is None or abs(utc.milliseconds() - since) < _UNSIGNED_MS:
            return head
        for body in self._signed(head):
            head = self._write(head, body, until)
        return head

    def _begin(self, until: float) -> Link:
        first = {
            "action": "begin",
            "version": __version__,
            "pid": os.getpid(),
            "key": self._signer.public_key,
        }
        head = self._write(before_first(secrets.token_hex(8)), as_json(first), until)
        atexit.register(self.close)
        return head

    def _catch_up(self) -> bool:
        """Whether everything is signed, Redis knows it, and no refusal is without a line or a number."""
        self._count_refusals()
        return self._anchor(self._keep_anchor) and self._refusals.are_recorded()

    def _count_refusals(self, *, at_the_end: bool = False) -> None:
        if unrecorded := self._refusals.left(at_the_end=at_the_end):
            summary = Event(Actor("system"), "audit", "refusals", "denied")
            try:
                self._record_with(unrecorded, summary)
            except AuditUnavailable as error:
                self._unanchored(error.reason)

    def _record_with(self, unrecorded: int, event: Event) -> None:
        number: Mapping[str, Any] = {"unrecorded": unrecorded} if unrecorded else {}
        try:
            self.record(event._replace(more={**event.more, **number}))
        except AuditUnavailable:
            self._refusals.give_back(unrecorded)
            raise

    def _anchor(self, keep_anchor: KeepAnchor | None) -> bool:
        """Whether it could be made. Each covers all that stands before it."""
        try:
            anchored = self._append(self._signed)
            if keep_anchor and anchored != self._told:
                keep_anchor(anchored, utc.millisecond_now())
                self._told = anchored
        except Exception as error:  # noqa: BLE001 - the request whose line is written goes on
            meters.AUDIT_FAILURES.labels("anchor").inc()
            self._unanchored(getattr(error, "reason", type(error).__name__))
            return False
        return True

    def _signed(self, head: Link) -> list[bytes]:
        if head == self._anchored:
            return []
        signature = self._signer.sign(signed_text(head))
        return [as_json({"action": "anchor", "signs": head.seq, "signature": signature})]
