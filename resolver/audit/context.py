"""One request's place in the trail: one event, further ones for what only comes to light after it was
written, and one more when it fails after that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from resolver.audit.event import Actor, Event, Outcome
from resolver.audit.trail import Trail
from resolver.errors import AuditUnavailable

_log = structlog.get_logger(__name__)


@dataclass
class Attempt:
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

    def ended(self, outcome: Outcome, code: str, organization: str = "") -> None:
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
