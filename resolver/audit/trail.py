"""The trail of one process: its chain, its sink, and its anchors.

A line is written before what it tells of takes effect. When it can't be in time, `record` raises, and its
caller lets nothing happen: what isn't on record isn't done.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from resolver import clock
from resolver.audit.background import Background
from resolver.audit.chain import Link
from resolver.audit.chain_writer import ANCHOR_SECONDS, ChainWriter, Entry
from resolver.audit.event import Actor, Event
from resolver.audit.group_commit import GroupCommit
from resolver.audit.refusals import Refusals
from resolver.audit.signing import Signer
from resolver.audit.sink import Sink
from resolver.deadline import CURRENT
from resolver.errors import AuditUnavailable
from resolver.ops import metrics

PATIENCE_SECONDS: Final = 0.5
_LEAST_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 15.0
KeepAnchor = Callable[[Link, str], None]
"""Remembers elsewhere how long a chain is; may raise Unavailable."""
Unanchored = Callable[[str], None]
"""Hears why an anchor couldn't be made."""
_log = structlog.get_logger(__name__)


def log_it(reason: str) -> None:
    _log.warning("audit_anchor_failed", reason=reason)


def _patience() -> float:
    """No more than half of what the request has left: it may have more to put on record."""
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
        self._chain = ChainWriter(Sink(path, standard), signer)
        self._commit = GroupCommit(self._chain)
        self._keep_anchor = keep_anchor
        self._told: Link | None = None
        self._refusals = Refusals()
        self._background = Background(self._catch_up, ANCHOR_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._is_closed_at_exit = False

    def record(self, event: Event) -> Link:
        """Where it stands. AuditUnavailable when it can't be written within half a second."""
        if not self._is_closed_at_exit:
            self._is_closed_at_exit = True
            atexit.register(self.close)
        try:
            link = self._append(event)
        except AuditUnavailable:
            metrics.AUDIT_FAILURES.labels("line").inc()
            raise
        finally:
            # A line whose request was refused while it was being written is to be signed, too.
            is_signed_later = self._background.request()
        if not is_signed_later:
            self._anchor(None)  # no thread can be started: what is written is signed all the same
        return link

    def refused(self, event: Event) -> None:
        """A refusal of a caller without a valid credential: a line, or counted when there are too many."""
        unrecorded = self._refusals.admit()
        if unrecorded is None:
            metrics.UNRECORDED.labels(event.surface).inc()
            self._background.request()
            return
        self._record_with(unrecorded, event)

    def close(self) -> None:
        """With a last anchor, so that the end is covered too. One that is just being made is waited for: with
        the process, its thread would end."""
        self._background.stop()
        self._count_refusals(at_the_end=True)
        self._anchor(self._keep_anchor)
        # Recording the last number may have asked for it again.
        self._background.stop()
        self._commit.close()

    def _append(self, event: Event | None) -> Link:
        return self._commit.append(Entry(event, time.monotonic() + _patience()))

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
            anchored = self._signed_head()
            if keep_anchor and anchored and anchored != self._told:
                keep_anchor(anchored, clock.millisecond_now())
                self._told = anchored
        except Exception as error:  # noqa: BLE001 - the request whose line is written goes on
            metrics.AUDIT_FAILURES.labels("anchor").inc()
            self._unanchored(getattr(error, "reason", type(error).__name__))
            return False
        return True

    def _signed_head(self) -> Link | None:
        """The end of the chain, with a signature; None before its first line."""
        return self._chain.head if self._commit.is_idle and self._chain.is_signed else self._append(None)
