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
from collections.abc import Callable
from typing import Final

import structlog

from resolver import __version__, utc
from resolver.audit.chain import Link, before_first, linked, signed_text
from resolver.audit.event import Event, as_json
from resolver.audit.outlet import Outlet
from resolver.audit.signing import Signer
from resolver.deadline import CURRENT
from resolver.errors import AuditUnavailable, Unavailable
from resolver.metrics import meters

_ANCHOR = b'{"action":"anchor"'
PATIENCE_SECONDS: Final = 0.5
_LEAST_SECONDS = 0.01
ANCHOR_SECONDS: Final = 1.0
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
        self._anchor_due: threading.Timer | None = None

    def record(self, event: Event) -> Link:
        """Where it stands. AuditUnavailable when it can't be written within half a second."""
        bodies = event.bodies()
        try:
            head = self._append(lambda _head: bodies)
        except AuditUnavailable:
            meters.AUDIT_FAILURES.labels("line").inc()
            raise
        if self._anchor_due is None:
            self._anchor_due = threading.Timer(ANCHOR_SECONDS, self._anchor)
            self._anchor_due.daemon = True
            self._anchor_due.start()
        return head

    def close(self) -> None:
        """With a last anchor, so that the end is covered too. One that is just being made is waited for: with
        the process, its thread would end."""
        if self._anchor_due:
            self._anchor_due.cancel()
        if self._head:
            self._anchor()
        if self._lock.acquire(timeout=PATIENCE_SECONDS):
            self._outlet.close()
            self._lock.release()

    def _append(self, bodies: Callable[[Link], list[bytes]]) -> Link:
        seconds = _patience()
        until = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise AuditUnavailable("audit: busy")
        try:
            head = self._head or self._begin(until)
            for body in bodies(head):
                head = self._write(head, body, until)
        except OSError as error:
            raise AuditUnavailable(f"audit: {type(error).__name__}") from error
        finally:
            self._lock.release()
        return head

    def _write(self, head: Link, body: bytes, until: float) -> Link:
        """The chain goes on only from what was written whole."""
        link, line = linked(head, utc.millisecond_now(), body)
        self._outlet.write(line, until)
        self._head = link
        if body.startswith(_ANCHOR):
            self._anchored = link
        return link

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

    def _anchor(self) -> None:
        """What can't be anchored now is with the next one: each covers all that stands before it."""
        self._anchor_due = None
        try:
            anchored = self._append(self._signed)
            if self._keep_anchor and anchored != self._told:
                self._tell(self._keep_anchor, anchored)
        except Unavailable as error:
            meters.AUDIT_FAILURES.labels("anchor").inc()
            self._unanchored(getattr(error, "reason", type(error).__name__))

    def _tell(self, keep_anchor: KeepAnchor, anchored: Link) -> None:
        """Told once it was tried: whoever closes while another thread is at it does it once more."""
        try:
            keep_anchor(anchored, utc.millisecond_now())
        finally:
            self._told = anchored

    def _signed(self, head: Link) -> list[bytes]:
        if head == self._anchored:
            return []
        signature = self._signer.sign(signed_text(head))
        return [as_json({"action": "anchor", "signs": head.seq, "signature": signature})]
