"""Sending commands to Velt, in the request that wrote them or later in the worker.

delivered     Velt has accepted it: the command is complete
refused       Velt has refused it: `VeltRefused`
unreachable   Velt can't be reached, failed, or its answer can't be read: `VeltUnreachable`; the command waits
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
from resolver.outbox.queue import Claim, Outbox, new_claim
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.records import RecordStore
from resolver.velt.client import CREDENTIALS, THROTTLED, VeltClient, VeltEndpoint

JSON = dict[str, Any]
WARN_EVERY_SECONDS = 30.0
_NOTE_EVERY_SECONDS = 1.0
"""How often a process notes for the others that Velt accepts calls."""
_log = structlog.get_logger(__name__)
# A request's lease outlasts the request by this much.
GRACE_MS = 3_000
# Part of a request's time that is kept for what follows the call to Velt.
RESERVE_SECONDS = 0.3
_ENDPOINTS = {
    Kind.REGISTER: VeltEndpoint.ADD,
    Kind.CHANGE: VeltEndpoint.UPDATE,
    Kind.REMOVE: VeltEndpoint.DELETE,
}
_ALREADY_DONE = {Kind.REGISTER: "ALREADY_EXISTS", Kind.REMOVE: "NOT_FOUND"}


class Throttle:
    """Say something once in a while: `due` is true at most once in so many seconds."""

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
    """Velt can't be reached now; commands wait in their queues."""


class CommandFailed(VeltUnreachable):
    """Velt answered this call with a failure. The command waits, like others."""


@dataclass(frozen=True, slots=True)
class VeltSender:
    store: RecordStore
    outbox: Outbox
    velt: VeltClient
    breaker: CircuitBreaker
    lease_ms: int
    no_worker_throttle: Throttle
    slots: threading.Semaphore | None
    """How many requests may call Velt at once; None: the worker sends everything."""
    accepted_throttle: Throttle = field(default_factory=lambda: Throttle(_NOTE_EVERY_SECONDS))

    @contextmanager
    def inline_slot(self) -> Iterator[bool]:
        """Give True to a request that may call Velt itself. Never waits: without a slot, the worker sends."""
        if self.slots is None or not self.slots.acquire(blocking=False):
            yield False
            return
        try:
            yield not self.breaker.wait_seconds()
        finally:
            self.slots.release()

    def call(self, endpoint: VeltEndpoint, data: JSON, deadline: Deadline) -> JSON:
        """Call Velt through the circuit breaker, and return its answer.

        Raises VeltRefused for a refusal, CommandFailed for a failure that Velt answered, and VeltUnreachable
        for anything else, 429 included.
        """
        if not self.breaker.allow():
            raise VeltUnreachable("velt: not called, the circuit breaker is open")
        try:
            answer = self.velt.post(endpoint, data, deadline)
        except VeltFailed as error:
            self.count_failed_call(_seconds(error.retry_after))
            raise CommandFailed(error.reason) from error
        except VeltUnavailable as error:
            self.breaker.failure(_seconds(error.retry_after))
            raise VeltUnreachable(error.reason) from error
        except VeltRefused as refusal:
            if refusal.status == THROTTLED:
                self.breaker.failure(_seconds(refusal.retry_after))
                raise VeltUnreachable("velt: RESOURCE_EXHAUSTED") from refusal
            if refusal.status in CREDENTIALS:
                # Logged, since a client would take the refusal for one of its own credentials.
                _log.error("velt_refuses_our_credentials", status=refusal.status)
            else:
                self.breaker.success()
            raise
        self.breaker.success()
        self._note_accepted()
        return answer

    def has_accepted_within(self, seconds: float) -> bool:
        """Whether Velt has accepted a call so recently, from this process or another."""
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
            return  # the call was accepted all the same

    def count_failed_call(self, retry_after: float = 0.0) -> None:
        """Tell the circuit breaker that Velt answered one call with a failure.

        It counts when Velt gave a Retry-After, or has accepted no call since the last such failure or just
        now: one bad command must not hold up the others, and in an outage the second failure opens the
        circuit breaker.
        """
        if not self.has_accepted_within(self.breaker.note_failed_call()) or retry_after:
            self.breaker.failure(retry_after)

    def entry(self, command: Command, inline: bool, place: Place = Place.APPEND) -> Entry:
        """Build an entry of a queue, with a claim when this request may call Velt itself."""
        return Entry(command, place, new_claim() if inline else "", self.lease_ms)

    def send(self, command: Command, deadline: Deadline) -> JSON:
        """Send a command, and return Velt's answer. A refusal because Velt has already done it is a success:
        commands may be sent twice."""
        try:
            return self.call(_ENDPOINTS[command.kind], command.data, deadline)
        except VeltRefused as refusal:
            if not _is_already_done(command, refusal):
                raise
            return {"result": {"status": "success"}}

    def send_batch(
        self, endpoint: VeltEndpoint, data: JSON, claims: list[Claim], deadline: Deadline
    ) -> JSON | None:
        """Send several commands in one call, and complete or release their claims.

        Returns Velt's answer, or None when commands were released: Velt was unreachable, or has already done
        one of several without saying which (the worker then sends each alone). A refusal is raised and
        completes the commands, since the client gets it; when it refuses our credentials, they are released.
        """
        try:
            answer = self.call(endpoint, data, deadline)
        except VeltUnreachable:
            for claim in claims:
                self.release(claim)
            return None
        except VeltRefused as refusal:
            already_done = all(_is_already_done(claim.command, refusal) for claim in claims)
            for claim in claims:
                if refusal.status in CREDENTIALS or (already_done and len(claims) > 1):
                    self.release(claim)
                else:
                    self.complete(claim)
            if not (claims and already_done):
                raise
            return None
        self.complete_all(claims)
        return answer

    def complete(self, claim: Claim) -> None:
        """Take a delivered command out of its queue. If Redis fails, it is only sent once more."""
        try:
            held = self.outbox.complete(claim)
        except Unavailable:
            return
        if not held:
            self._undo_if_removed(claim)

    def complete_all(self, claims: Sequence[Claim]) -> None:
        try:
            lost = self.outbox.complete_all(claims)
        except Unavailable:
            return
        for claim in lost:
            try:
                self._undo_if_removed(claim)
            except Unavailable:
                _log.warning("removal_not_repeated")

    def release(
        self, claim: Claim, delay_ms: int = 0, *, tried: bool = True, failures: int | None = None
    ) -> None:
        try:
            self.outbox.release(claim, delay_ms, tried=tried, failures=failures)
        except Unavailable:
            return  # its lease runs out by itself

    def warn_if_no_worker(self) -> None:
        """Log, now and then, that commands are queued and no worker is alive."""
        if not self.no_worker_throttle.due():
            return
        try:
            if not self.outbox.has_live_worker():
                _log.error("no_worker_alive")
        except Unavailable:
            return  # the request is answered all the same

    def _undo_if_removed(self, claim: Claim) -> None:
        """Queue a removal after a registration whose claim was lost while it was sent, if its record is gone.

        Another process may have sent the removal before this registration arrived at Velt, which has brought
        the notification back there.
        """
        command = claim.command
        if command is None or command.kind is not Kind.REGISTER:
            return
        organization = command.data["organizationId"]
        if not self.store.read(organization, [command.notification]):
            again = removal(command.notification, {"organizationId": organization})
            self.store.enqueue(organization, command.notification, Entry(again))


def _is_already_done(command: Command | None, refusal: VeltRefused) -> bool:
    return command is not None and refusal.status == _ALREADY_DONE.get(command.kind)


def removal(notification: str, filters: JSON) -> Command:
    return Command(Kind.REMOVE, notification, {**filters, "notificationIds": [notification]})


def _seconds(retry_after: str | None) -> float:
    """Seconds of a Retry-After; 0 for a date, since clocks may differ."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
