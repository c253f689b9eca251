"""Finish deletions without ids whose request was interrupted after Velt was asked.

Velt may have deleted what the filters select, and doesn't name it a second time. So all records that they
select, and that were there when the request came, are removed here, and a removal of each one is queued for
Velt.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import orjson
import structlog

from resolver import clock
from resolver.audit.event import Actor
from resolver.audit.trail import AuditContext, Trail
from resolver.errors import Unavailable
from resolver.notifications.deletion import FilteredDeletion, apply, changed, ids_of
from resolver.outbox.queue import Outbox
from resolver.outbox.rewriting import Rewriting
from resolver.outbox.sender import WARN_EVERY_SECONDS, Throttle
from resolver.store.lease import Lease
from resolver.store.record import Record
from resolver.store.records import Changed, Held, RecordStore
from resolver.store.scan import in_time_slices
from resolver.store.unfinished_deletions import UnfinishedDeletion, UnfinishedDeletions

_POLL_SECONDS = 1.0
_LEASE_SECONDS = 20.0
# Scanning all records takes at most one part in so many of the time, as long as a scan takes a few seconds.
_PAUSE_FACTOR, _LONGEST_PAUSE_SECONDS = 10, 60.0
ByOrganization = dict[str, list[UnfinishedDeletion]]
_log = structlog.get_logger(__name__)


@dataclass
class FinishDeletions:
    store: RecordStore
    outbox: Outbox
    rewriting: Rewriting
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
            if self._finish(_by_organization(due.values()), is_over):
                for id_ in due:
                    self.unfinished.forget(id_)
                _log.info("deletions_finished", number=len(due))
        finally:
            self.lease.release(self.me)

    def _finish(self, deletions: ByOrganization, is_over: Callable[[], bool]) -> bool:
        """Apply deletions to all records, and to those that a refused add would bring back. False when some
        may have been missed, so that they must be looked at again."""
        moves, unreadable = self.outbox.moves(), self.store.unreadable
        for batch in self.store.batches():
            self._apply(deletions, list(in_time_slices(batch)))
            if is_over() or not self._renew_lease():
                return False
        _, overtaken = self.rewriting(lambda command: command, partial(self._previous, deletions))
        is_whole = self.outbox.moves() == moves and self.store.unreadable == unreadable
        return is_whole and not overtaken

    def _apply(self, deletions: ByOrganization, batch: Sequence[Held]) -> None:
        for organization, items in groupby(sorted(batch, key=_organization), _organization):
            held = list(items)
            for noted in deletions.get(organization, ()):
                deletion = _filtered(noted)
                planned = [(item, deletion.effect(item.record)) for item in held]
                if going := ids_of((effect for _, effect in planned), spared=False):
                    self._record(noted, going)
                    apply(self.store, deletion, planned, tells_velt=True)

    def _previous(self, deletions: ByOrganization, _key_name: str, record: Record) -> Changed:
        """What a refused add would bring back of a record, and the removal for Velt."""
        for noted in deletions.get(record.organization, ()):
            deletion = _filtered(noted)
            effect = deletion.effect(record)
            if not effect.spared:
                self._record(noted, [record.notification])
                return changed(deletion, True, effect)
        return record, None

    def _record(self, noted: UnfinishedDeletion, ids: Sequence[str]) -> None:
        """Record in the caller's name and under the request's id, so that its lines are found together."""
        actor = Actor("backend", noted.caller)
        audit = AuditContext(self.trail, "mirror", "delete", noted.request, actor)
        audit.record(organization=str(noted.filters["organizationId"]), ids=ids, finished=True)

    def _renew_lease(self) -> bool:
        return self.lease.acquire(self.me, _LEASE_SECONDS)


def _by_organization(due: Iterable[UnfinishedDeletion]) -> ByOrganization:
    """Of requests with the same filters, the latest one: it means all that the earlier ones mean."""
    latest: dict[bytes, UnfinishedDeletion] = {}
    for noted in sorted(due, key=lambda one: one.asked):
        latest[orjson.dumps(noted.filters, option=orjson.OPT_SORT_KEYS)] = noted
    found: ByOrganization = defaultdict(list)
    for noted in latest.values():
        found[str(noted.filters["organizationId"])].append(noted)
    return found


def _filtered(noted: UnfinishedDeletion) -> FilteredDeletion:
    return FilteredDeletion(noted.filters, until=noted.asked)


def _organization(held: Held) -> str:
    return held.record.organization
