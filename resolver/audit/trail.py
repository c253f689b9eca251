"""The trail of one process: its chain, its sink, and its checkpoints.

An event is recorded before it takes effect. When it can't be written in time, `record` raises, and the caller
must not carry it out: nothing is done that isn't recorded.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from resolver import clock
from resolver.audit.background import Background
from resolver.audit.chain import Link
from resolver.audit.chain_writer import CHECKPOINT_SECONDS, ChainEntry, ChainWriter
from resolver.audit.event import Actor, Event, Outcome
from resolver.audit.group_commit import GroupCommit
from resolver.audit.signing import Signer
from resolver.audit.sink import Sink
from resolver.deadline import CURRENT
from resolver.errors import AuditUnavailable
from resolver.ops import metrics

MAX_WAIT_SECONDS: Final = 0.5
_MIN_WAIT_SECONDS = 0.01
_MAX_PAUSE_SECONDS = 15.0
KeepCheckpoint = Callable[[Link, str], None]
"""Keeps a checkpoint outside the file; may raise Unavailable."""
OnCheckpointFailure = Callable[[str], None]
"""Called with the reason when a checkpoint couldn't be made."""
_log = structlog.get_logger(__name__)


def log_checkpoint_failure(reason: str) -> None:
    _log.warning("audit_anchor_failed", reason=reason)


def _give_up_at() -> float:
    """When (monotonic) a request gives up: at the latest after half of its remaining time, since it may have
    more to record."""
    now = time.monotonic()
    if deadline := CURRENT.get():
        return now + max(_MIN_WAIT_SECONDS, min(MAX_WAIT_SECONDS, (deadline.at - now) / 2))
    return now + MAX_WAIT_SECONDS


class Trail:
    """The first event opens the sink and begins the chain. Build it after fork: each process has its
    chain."""

    def __init__(
        self,
        path: str,
        signer: Signer,
        keep_checkpoint: KeepCheckpoint | None = None,
        *,
        standard: int = 1,
        on_checkpoint_failure: OnCheckpointFailure = log_checkpoint_failure,
    ) -> None:
        self._on_checkpoint_failure = on_checkpoint_failure
        self._chain = ChainWriter(Sink(path, standard), signer)
        self._commit = GroupCommit(self._chain)
        self._keep_checkpoint = keep_checkpoint
        self._kept: Link | None = None
        self._refusals = Refusals()
        self._background = Background(self._catch_up, CHECKPOINT_SECONDS, _MAX_PAUSE_SECONDS)
        self._is_closed_at_exit = False

    def record(self, event: Event) -> Link:
        """Write an event; return its link. Raises AuditUnavailable unless it is written within half a
        second."""
        if not self._is_closed_at_exit:
            self._is_closed_at_exit = True
            atexit.register(self.close)
        try:
            link = self._commit.append(ChainEntry(event, event.bodies(), _give_up_at()))
        except AuditUnavailable:
            metrics.AUDIT_FAILURES.labels("line").inc()
            raise
        finally:
            # In any case: a line may have been written although its request was refused.
            is_signed_later = self._background.wanted.is_set() or self._background.request()
        if not is_signed_later:
            self._make_checkpoint(None)  # no thread can be started: sign in this one
        return link

    def record_refusal(self, event: Event) -> None:
        """Record a refusal without a valid credential, or only count it when there are too many."""
        unrecorded = self._refusals.admit()
        if unrecorded is None:
            metrics.UNRECORDED.labels(event.surface).inc()
            self._background.request()
            return
        self._record_with(unrecorded, event)

    def close(self) -> None:
        """Close the trail with a last checkpoint, so that its end is signed too."""
        self._background.stop()
        self._count_refusals(at_the_end=True)
        self._make_checkpoint(self._keep_checkpoint)
        # Again: recording the last number may have started the thread.
        self._background.stop()
        self._commit.close()

    def _catch_up(self) -> bool:
        """Record counted refusals and make a checkpoint. True when nothing is left to do."""
        self._count_refusals()
        return self._make_checkpoint(self._keep_checkpoint) and self._refusals.are_recorded()

    def _count_refusals(self, *, at_the_end: bool = False) -> None:
        if unrecorded := self._refusals.take_unrecorded(at_the_end=at_the_end):
            summary = Event(Actor("system"), "audit", "refusals", "denied")
            try:
                self._record_with(unrecorded, summary)
            except AuditUnavailable as error:
                self._on_checkpoint_failure(error.reason)

    def _record_with(self, unrecorded: int, event: Event) -> None:
        number: Mapping[str, Any] = {"unrecorded": unrecorded} if unrecorded else {}
        try:
            self.record(event._replace(more={**event.more, **number}))
        except AuditUnavailable:
            self._refusals.release(unrecorded)
            raise

    def _make_checkpoint(self, keep_checkpoint: KeepCheckpoint | None) -> bool:
        """Sign the head of the chain and keep it. False when that failed."""
        try:
            head = self._signed_head()
            if keep_checkpoint and head and head != self._kept:
                keep_checkpoint(head, clock.millisecond_now())
                self._kept = head
        except Exception as error:  # noqa: BLE001 - the request goes on, since its line is written
            metrics.AUDIT_FAILURES.labels("anchor").inc()
            self._on_checkpoint_failure(getattr(error, "reason", type(error).__name__))
            return False
        return True

    def _signed_head(self) -> Link | None:
        """Sign the head of the chain if necessary, and return it; None before the first line."""
        return (
            self._chain.head
            if self._commit.is_idle and self._chain.is_signed
            else self._commit.append(ChainEntry(None, until=_give_up_at()))
        )


@dataclass
class AuditContext:
    trail: Trail
    surface: str
    action: str
    request: str
    actor: Actor
    recorded: Event | None = None
    unavailable: AuditUnavailable | None = None
    """Why an event could not be recorded."""

    def record(
        self,
        outcome: Outcome = "ok",
        organization: str = "",
        ids: Sequence[str] = (),
        denied: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """Record the event of this request: call it when all is decided, and nothing is done yet.

        Raises AuditUnavailable; nothing may be done then. Recording the same event again does nothing, as
        when a change is retried because the record was written meanwhile.
        """
        event = Event(
            self.actor, self.surface, self.action, outcome, self.request, organization, ids, denied, more
        )
        if event == self.recorded:
            return
        try:
            self.trail.record(event)
        except AuditUnavailable as error:
            self.unavailable = error
            raise
        self.recorded = event

    def record_also(self, ids: Sequence[str] = (), denied: Sequence[str] = ()) -> None:
        """Record ids that the first event couldn't name yet, before they are touched. Raises
        AuditUnavailable."""
        if self.recorded is None:
            raise RuntimeError("nothing was recorded before")
        outcome: Outcome = "denied" if denied and not ids else "ok"
        about = self.recorded.organization
        self.trail.record(
            Event(self.actor, self.surface, self.action, outcome, self.request, about, ids, denied)
        )

    def fail(self, outcome: Outcome, code: str, organization: str = "") -> None:
        """Record that the request failed: as its event, or after its event as `failed`.

        An event that couldn't be recorded isn't retried, since the request would wait twice.
        """
        if self.recorded is None and self.unavailable:
            raise self.unavailable
        if self.recorded is None and self.actor.kind == "unknown":
            more = {"code": code}
            refusal = Event(
                self.actor, self.surface, self.action, outcome, self.request, organization, more=more
            )
            self.trail.record_refusal(refusal)
            return
        if self.recorded is None:
            self.record(outcome, organization, code=code)
            return
        failed = self.recorded.failed(code)
        try:
            self.trail.record(failed)
        except AuditUnavailable as error:
            # The reply is an error already, so only log that this line is missing.
            _log.error("audit_failure_not_recorded", reason=error.reason)


MAX_PER_SECOND = 10


class Refusals:
    """Limits the lines for refusals without a valid credential, since anyone can cause any number of them.

    Ten in any second get a line; the others are counted, and their number is recorded.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._written: deque[float] = deque(maxlen=MAX_PER_SECOND)
        self._unrecorded = 0

    def admit(self) -> int | None:
        """Return the number of refusals without a line so far; None when this one must have no line
        either."""
        with self._lock:
            if self._is_full():
                self._unrecorded += 1
                return None
            return self._take()

    def take_unrecorded(self, *, at_the_end: bool = False) -> int:
        """Return the number still to be recorded, or 0 when no line is permitted now."""
        with self._lock:
            return self._take() if self._unrecorded and (at_the_end or not self._is_full()) else 0

    def release(self, number: int) -> None:
        """Give a number back whose line could not be written."""
        with self._lock:
            self._unrecorded += number

    def are_recorded(self) -> bool:
        with self._lock:
            return not self._unrecorded

    def _take(self) -> int:
        self._written.append(self._now())
        number, self._unrecorded = self._unrecorded, 0
        return number

    def _is_full(self) -> bool:
        return len(self._written) == MAX_PER_SECOND and self._now() - self._written[0] < 1.0
