"""Finish deletions without ids whose request was interrupted after Velt was asked.

Velt may have deleted what the filters select, and doesn't name it a second time. So all records that they
select, and that were there when the request came, are removed here, and a removal of each one is queued for
Velt.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from resolver import clock
from resolver.audit.event import Actor
from resolver.audit.trail import AuditContext, Trail
from resolver.errors import Unavailable
from resolver.notifications.deletion import FilteredDeletion, apply
from resolver.outbox.sender import WARN_EVERY_SECONDS, Throttle
from resolver.store.lease import Lease
from resolver.store.records import Held, RecordStore
from resolver.store.scan import in_time_slices
from resolver.store.unfinished_deletions import UnfinishedDeletion, UnfinishedDeletions

_POLL_SECONDS = 1.0
_LEASE_SECONDS = 20.0
# Scanning all records takes at most one part in so many of the time, as long as a scan takes a few seconds.
_PAUSE_FACTOR, _LONGEST_PAUSE_SECONDS = 10, 60.0
_log = structlog.get_logger(__name__)


@dataclass
class FinishDeletions:
    store: RecordStore
    unfinished: UnfinishedDeletions
    lease: Lease
    trail: Trail
    now: Callable[[], int] = clock.milliseconds
    me: str = field(default_factory=lambda: secrets.token_hex(8))

    def run(self, stop: threading.Event) -> None:
        """Finish deletions until `stop` is set; another process, or a later run, begins anew."""
        pause, throttle = _POLL_SECONDS, Throttle(WARN_EVERY_SECONDS)
        while not stop.wait(pause):
            started = time.monotonic()
            try:
                self.round(stop.is_set)
            except Unavailable as error:
                if throttle.due():
                    _log.warning("deletions_wait", reason=getattr(error, "reason", type(error).__name__))
            except Exception as error:  # noqa: BLE001 - the next round tries again
                _log.error("deletions_failed", type=type(error).__name__)
            took = time.monotonic() - started
            pause = min(max(_POLL_SECONDS, took * _PAUSE_FACTOR), _LONGEST_PAUSE_SECONDS)

    def round(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Finish all that are due, in one scan of the records. Does nothing while another process has the
        lease."""
        if not (due := self.unfinished.due(self.now())) or not self._renew_lease():
            return
        try:
            deletions = [
                (FilteredDeletion(one.filters, until=one.asked), self._audit(one)) for one in due.values()
            ]
            for batch in self.store.batches():
                for deletion, audit in deletions:
                    self._apply(deletion, list(in_time_slices(batch)), audit)
                if is_over() or not self._renew_lease():
                    return
            for id_ in due:
                self.unfinished.forget(id_)
            _log.info("deletions_finished", number=len(due))
        finally:
            self.lease.release(self.me)

    def _apply(self, deletion: FilteredDeletion, held: Sequence[Held], audit: AuditContext) -> None:
        going = [item for item in held if not deletion.effect(item.record).spared]
        if going:
            ids = [item.record.notification for item in going]
            audit.record(organization=deletion.organization, ids=ids, finished=True)
            apply(self.store, deletion, going, tells_velt=True)

    def _audit(self, deletion: UnfinishedDeletion) -> AuditContext:
        """The context of the interrupted request, so that its lines are found together."""
        return AuditContext(
            self.trail, "mirror", "delete", deletion.request, Actor("backend", deletion.caller)
        )

    def _renew_lease(self) -> bool:
        return self.lease.acquire(self.me, _LEASE_SECONDS)
