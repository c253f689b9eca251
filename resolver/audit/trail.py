"""The trail of one process: its chain, its sink, and its anchors.

A line is written before what it tells of takes effect. When it can't be in time, `record` raises, and its
caller lets nothing happen: what isn't on record isn't done.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from resolver import clock
from resolver.audit.background import Background
from resolver.audit.chain import Link
from resolver.audit.chain_writer import ANCHOR_SECONDS, ChainWriter, Entry
from resolver.audit.event import Actor, Event, Outcome
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


def _patience_ends() -> float:
    """When (monotonic) a caller gives up: after half of what its request has left at the latest, since it may
    have more to put on record."""
    now = time.monotonic()
    if deadline := CURRENT.get():
        return now + max(_LEAST_SECONDS, min(PATIENCE_SECONDS, (deadline.at - now) / 2))
    return now + PATIENCE_SECONDS


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
            link = self._commit.append(Entry(event, event.bodies(), _patience_ends()))
        except AuditUnavailable:
            metrics.AUDIT_FAILURES.labels("line").inc()
            raise
        finally:
            # A line whose request was refused while it was being written is to be signed, too.
            is_signed_later = self._background.wanted.is_set() or self._background.request()
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
            self._refusals.release(unrecorded)
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
        return (
            self._chain.head
            if self._commit.is_idle and self._chain.is_signed
            else self._commit.append(Entry(None, until=_patience_ends()))
        )


_log = structlog.get_logger(__name__)


@dataclass
class AuditContext:
    trail: Trail
    surface: str
    action: str
    request: str
    actor: Actor
    recorded: Event | None = None
    unavailable: AuditUnavailable | None = None
    """Why an event isn't on record."""

    def record(
        self,
        outcome: Outcome = "ok",
        organization: str = "",
        ids: Sequence[str] = (),
        denied: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """Call it once all is decided and nothing has happened: it raises when that can't be put on record.
        When a change is tried again, as the record was written meanwhile, it is on record already, unless it
        does something else by now."""
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
        """Record what the first event couldn't name yet, before anything happens to it. Raises likewise."""
        if self.recorded is None:
            raise RuntimeError("nothing was recorded before")
        outcome: Outcome = "denied" if denied and not ids else "ok"
        about = self.recorded.organization
        self.trail.record(
            Event(self.actor, self.surface, self.action, outcome, self.request, about, ids, denied)
        )

    def fail(self, outcome: Outcome, code: str, organization: str = "") -> None:
        """With an error: the event, when there was none, or that what was recorded didn't come to pass.
        An event that couldn't be recorded isn't tried again: its request would wait twice."""
        if self.recorded is None and self.unavailable:
            raise self.unavailable
        if self.recorded is None and self.actor.kind == "unknown":
            more = {"code": code}
            refusal = Event(
                self.actor, self.surface, self.action, outcome, self.request, organization, more=more
            )
            self.trail.refused(refusal)
            return
        if self.recorded is None:
            self.record(outcome, organization, code=code)
            return
        failed = self.recorded.failed(code)
        try:
            self.trail.record(failed)
        except AuditUnavailable as error:
            # The reply is an error already; that this line is missing is at least in the log.
            _log.error("audit_failure_not_recorded", reason=error.reason)
