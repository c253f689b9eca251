"""Telling Velt: what came of one command, in the request that wrote it or later in the worker.

told        Velt has it; the command is done
refused     Velt said no for good
unreached   Velt couldn't be asked, or made no sense: the command waits
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from resolver.circuit_breaker import CircuitBreaker
from resolver.deadline import Deadline
from resolver.errors import Unavailable, VeltFailed, VeltRefused, VeltUnavailable
from resolver.outbox.queue import Claimed, Outbox, new_claim
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.records import RecordStore
from resolver.velt.client import CREDENTIALS, THROTTLED, Endpoint, VeltClient

JSON = dict[str, Any]
SAY_SO_SECONDS = 30.0
NOTED_SECONDS = 1.0
"""How often a process notes for the others that Velt accepts calls."""
_log = structlog.get_logger(__name__)
# How much longer than a request may take its claim holds.
GRACE_MS = 3_000
# Of a request's time, for what comes after Velt.
RESERVE_SECONDS = 0.3
_ENDPOINTS = {Kind.REGISTER: Endpoint.ADD, Kind.CHANGE: Endpoint.UPDATE, Kind.REMOVE: Endpoint.DELETE}
_DONE_BEFORE = {Kind.REGISTER: "ALREADY_EXISTS", Kind.REMOVE: "NOT_FOUND"}


class Throttle:
    """Yes, at most once in a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class VeltUnreachable(VeltUnavailable):
    """Velt can't be had now; commands wait in line."""


class CommandFailed(VeltUnreachable):
    """Velt answered this very call with a failure. The command waits, like others."""


@dataclass(frozen=True, slots=True)
class VeltSender:
    store: RecordStore
    outbox: Outbox
    velt: VeltClient
    breaker: CircuitBreaker
    lease_ms: int
    no_worker_throttle: Throttle
    slots: threading.Semaphore | None
    """How many requests may wait for Velt at once; None: none may, the worker does it all."""
    accepted_throttle: Throttle = field(default_factory=lambda: Throttle(NOTED_SECONDS))

    @contextmanager
    def inline_slot(self) -> Iterator[bool]:
        """Whether this request may ask Velt itself. Never waits: one that may not leaves it in line."""
        if self.slots is None or not self.slots.acquire(blocking=False):
            yield False
            return
        try:
            yield not self.breaker.wait_seconds()
        finally:
            self.slots.release()

    def ask(self, endpoint: Endpoint, data: JSON, deadline: Deadline) -> JSON:
        """Velt's answer, with the breaker asked before and told afterwards. 429 counts as out of reach."""
        if not self.breaker.allow():
            raise VeltUnreachable("velt: not asked, it was out of reach a moment ago")
        try:
            answer = self.velt.post(endpoint, data, deadline)
        except VeltFailed as error:
            self.failed_at_one(_seconds(error.retry_after))
            raise CommandFailed(error.reason) from error
        except VeltUnavailable as error:
            self.breaker.failure(_seconds(error.retry_after))
            raise VeltUnreachable(error.reason) from error
        except VeltRefused as refusal:
            if refusal.status == THROTTLED:
                self.breaker.failure(_seconds(refusal.retry_after))
                raise VeltUnreachable("velt: RESOURCE_EXHAUSTED") from refusal
            if refusal.status in CREDENTIALS:
                # A caller that is handed this takes it for its own credentials.
                _log.error("velt_refuses_our_credentials", status=refusal.status)
            else:
                self.breaker.success()
            raise
        self.breaker.success()
        self._note_accepted()
        return answer

    def has_accepted_within(self, seconds: float) -> bool:
        """Whether Velt has accepted a call so recently, of this process or of another."""
        if self.breaker.succeeded_within(seconds):
            return True
        try:
            return self.outbox.accepted_within(seconds)
        except Unavailable:
            return False

    def _note_accepted(self) -> None:
        if not self.accepted_throttle.due():
            return
        try:
            self.outbox.note_accepted()
        except Unavailable:
            return  # what Velt accepted is accepted all the same

    def failed_at_one(self, retry_after: float = 0.0) -> None:
        """Note that Velt answered one call with a failure. It opens the circuit breaker unless Velt has
        accepted another call just now, and after the last such failure: one bad command must not hold up all
        others, and an outage is noticed by the second failure in a row. A Retry-After opens it always."""
        if not self.has_accepted_within(self.breaker.failed_call()) or retry_after:
            self.breaker.failure(retry_after)

    def entry(self, command: Command, mine: bool, place: Place = Place.APPEND) -> Entry:
        """Into the line; with a claim when this request may ask Velt itself."""
        return Entry(command, place, new_claim() if mine else "", self.lease_ms)

    def send(self, command: Command, deadline: Deadline) -> JSON:
        """What Velt says to it. That it was done before is no refusal: commands may come twice."""
        try:
            return self.ask(_ENDPOINTS[command.kind], command.data, deadline)
        except VeltRefused as refusal:
            if not _was_done_before(command, refusal):
                raise
            return {"result": {"status": "success"}}

    def send_batch(
        self, endpoint: Endpoint, data: JSON, claims: list[Claimed], deadline: Deadline
    ) -> JSON | None:
        """One call for several commands. None when Velt can't be had: they wait. What Velt refuses is done
        with too, since the caller hears of it; but refused credentials are ours to mend, and they wait. So do
        several of which one was done before, and it isn't said which: the worker tells each alone."""
        try:
            answer = self.ask(endpoint, data, deadline)
        except VeltUnreachable:
            for claimed in claims:
                self.release(claimed)
            return None
        except VeltRefused as refusal:
            done_before = all(_was_done_before(claimed.command, refusal) for claimed in claims)
            for claimed in claims:
                if refusal.status in CREDENTIALS or (done_before and len(claims) > 1):
                    self.release(claimed)
                else:
                    self.done(claimed)
            if not (claims and done_before):
                raise
            return None
        self.done_all(claims)
        return answer

    def done(self, claimed: Claimed) -> None:
        """Takes a told command out of its line. What goes wrong here is harmless: Velt is told once more."""
        try:
            held = self.outbox.finish(claimed)
        except Unavailable:
            return
        if not held:
            self._undo_if_removed(claimed)

    def done_all(self, claims: Sequence[Claimed]) -> None:
        try:
            lost = self.outbox.finish_all(claims)
        except Unavailable:
            return
        for claimed in lost:
            try:
                self._undo_if_removed(claimed)
            except Unavailable:
                _log.warning("removal_not_repeated")

    def release(
        self, claimed: Claimed, delay_ms: int = 0, *, tried: bool = True, failures: int | None = None
    ) -> None:
        try:
            self.outbox.release(claimed, delay_ms, tried=tried, failures=failures)
        except Unavailable:
            return  # its lease runs out by itself

    def warn_if_no_worker(self) -> None:
        """Something waits for the worker now. That none is alive is said in the log, now and then."""
        if not self.no_worker_throttle.due():
            return
        try:
            if not self.outbox.has_live_worker():
                _log.error("no_worker_alive")
        except Unavailable:
            return  # the request is answered all the same

    def _undo_if_removed(self, claimed: Claimed) -> None:
        """Somebody else got on with this line while Velt was being told, maybe with a removal that Velt has
        carried out already. Then what was told just now brought it back: it is removed again."""
        command = claimed.command
        if command is None or command.kind is not Kind.REGISTER:
            return
        organization = command.data["organizationId"]
        if not self.store.read(organization, [command.notification]):
            again = removal(command.notification, {"organizationId": organization})
            self.store.enqueue(organization, command.notification, Entry(again))


def _was_done_before(command: Command | None, refusal: VeltRefused) -> bool:
    return command is not None and refusal.status == _DONE_BEFORE.get(command.kind)


def removal(notification: str, filters: JSON) -> Command:
    return Command(Kind.REMOVE, notification, {**filters, "notificationIds": [notification]})


def _seconds(retry_after: str | None) -> float:
    """Seconds; the header's other form, a date, would need the clocks to agree."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
