"""The worker: sends the commands that no request could, in order for each notification, many in parallel.

It sleeps while nothing is due. A message on the wake channel wakes it when a command is queued; every two
seconds it looks for itself, since a lease that runs out sends no message, and a message may be lost.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from resolver.deadline import Deadline
from resolver.errors import StoreUnavailable, Unavailable, VeltRefused
from resolver.outbox.queue import Claim, Outbox
from resolver.outbox.sender import WARN_EVERY_SECONDS, CommandFailed, Throttle, VeltSender, VeltUnreachable
from resolver.outbox.wake import WakeUp
from resolver.store.command import Command, Kind
from resolver.store.keyspace import Queue
from resolver.velt.client import CREDENTIALS, FINAL

SWEEP_SECONDS = 2.0
VELT_SECONDS = 5.0
POISON_AFTER = 5
"""A command with so many abandoned attempts in a row is dead-lettered: it may be what ends its workers."""
ISOLATE_AFTER = 2
"""A command with so many abandoned attempts is sent while no other is, so that it can't harm others."""
_PAUSE_SECONDS = 0.5
_HEARTBEAT_EVERY_SECONDS = 3.0
_UNREACHABLE_DELAY_MS = 500
_MAX_DELAY_MS = 60_000
_MAX_OUTAGE_DELAY_MS = 15_000
_MAX_BATCH = 16
# With the time of its last call, a batch must end well within its leases; and a later request for one of its
# notifications shouldn't find the registration claimed for long.
_BATCH_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Worker:
    def __init__(
        self, outbox: Outbox, sender: VeltSender, wake_up: WakeUp, threads: int, max_attempts: int
    ) -> None:
        self._outbox = outbox
        self._max_attempts = max_attempts
        self._sender = sender
        self._wake_up = wake_up
        self._threads = threads
        self._free = threading.Semaphore(threads)
        self._in_flight: list[Future[None]] = []
        self._next_heartbeat = 0.0
        self._waits_throttle, self._heartbeat_throttle = (
            Throttle(WARN_EVERY_SECONDS),
            Throttle(WARN_EVERY_SECONDS),
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish the batches in flight."""
        with self._wake_up.listening(), ThreadPoolExecutor(self._threads) as pool:
            while not stop.is_set():
                try:
                    self._round(pool, stop)
                except StoreUnavailable as error:
                    if self._waits_throttle.due():
                        _log.warning("worker_waits", reason=error.reason)
                    stop.wait(_PAUSE_SECONDS)
                except Exception as error:  # noqa: BLE001 - a failed round must not end the worker
                    _log.error("worker_round_failed", type=type(error).__name__)
                    stop.wait(_PAUSE_SECONDS)

    def wake(self) -> None:
        """End the worker's sleep, so that it sees at once that it is to stop."""
        self._wake_up.wake()

    def _round(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        self._heartbeat()
        if pause := self._sender.breaker.wait_seconds():
            stop.wait(min(pause, SWEEP_SECONDS))
            return
        queues = self._outbox.due()
        if not queues:
            self._wake_up.wait(SWEEP_SECONDS)
        # In random order: otherwise a command that always fails would be the first one each time.
        random.shuffle(queues)
        while queues and self._must_probe():
            # If Velt is down, one call finds out instead of one for each thread.
            self._work_one(queues.pop(), stop)
            if stop.is_set() or self._sender.breaker.wait_seconds():
                return
        for batch in _batches(queues, self._threads):
            self._free.acquire()
            if stop.is_set() or self._sender.breaker.wait_seconds():
                self._free.release()
                return
            self._take(batch, pool, stop)
            self._heartbeat()

    def _heartbeat(self) -> None:
        """Send a heartbeat, every few seconds. A Redis too full for it must not stop the work."""
        if time.monotonic() < self._next_heartbeat:
            return
        try:
            self._outbox.heartbeat()
            self._next_heartbeat = time.monotonic() + _HEARTBEAT_EVERY_SECONDS
        except StoreUnavailable as error:
            if self._heartbeat_throttle.due():
                _log.warning("worker_heartbeat_failed", reason=error.reason)

    def _take(self, queues: list[Queue], pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Claim the first commands of the queues, and start a batch with them. The caller has acquired a slot
        of `_free`, which is released here or by the batch."""
        claims: list[Claim] = []
        isolated: list[Queue] = []
        try:
            claims, isolated = self._outbox.claim_all(queues, ISOLATE_AFTER)
        finally:
            if claims:
                self._start(pool, claims, stop)
            else:
                self._free.release()
        for queue in isolated:
            if stop.is_set():
                return
            with self._alone():
                self._work_one(queue, stop)

    def _start(self, pool: ThreadPoolExecutor, claims: list[Claim], stop: threading.Event) -> None:
        """Process the claims in a thread of the pool, or in this thread when the pool can start none."""
        is_taken = threading.Lock()

        def work() -> None:
            if is_taken.acquire(blocking=False):
                self._work_and_free(claims, stop)

        try:
            batch = pool.submit(work)
        except RuntimeError:
            # The pool has queued it all the same: one of its threads may take it now, or find it taken later.
            work()
        else:
            self._in_flight = [batch, *(other for other in self._in_flight if not other.done())]

    def _must_probe(self) -> bool:
        """Whether no call is in flight, and none has succeeded just now."""
        return not self._sender.breaker.has_just_succeeded() and all(
            batch.done() for batch in self._in_flight
        )

    def _work_one(self, queue: Queue, stop: threading.Event) -> None:
        """Process one queue's first command in this thread."""
        # Claimed only now: while it waited, its lease would run out and count as an abandoned attempt.
        if claim := self._outbox.claim(queue):
            self._work([claim], stop)
        self._heartbeat()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no batch is in flight, and start none inside."""
        for _ in range(self._threads):
            self._free.acquire()
        try:
            yield
        finally:
            self._free.release(self._threads)

    def _work_and_free(self, claims: list[Claim], stop: threading.Event) -> None:
        try:
            self._work(claims, stop)
        except Exception as error:  # noqa: BLE001 - the pool would drop it unseen
            _log.error("worker_batch_failed", type=type(error).__name__)
        finally:
            self._free.release()

    def _work(self, claims: list[Claim], stop: threading.Event) -> None:
        """Process claims one after the other, and release those that there is no time for.

        Delivered commands are completed together at the end. If the process dies before, they are sent twice,
        with the same ids.
        """
        until = time.monotonic() + _BATCH_SECONDS
        finished, tried = [], 0
        for claim in claims:
            if tried and (stop.is_set() or time.monotonic() > until or self._sender.breaker.wait_seconds()):
                break
            tried += 1
            if self._process(claim):
                finished.append(claim)
        self._sender.complete_all(finished)
        for claim in claims[tried:]:
            self._sender.release(claim, tried=False)
            self._wake_up.wake()

    def _process(self, claim: Claim) -> bool:
        """Send a command, or dead-letter or release it. True when it is to be completed."""
        try:
            if claim.abandoned_attempts >= POISON_AFTER:
                self._dead_letter(claim, f"came to no outcome {claim.abandoned_attempts} times")
            elif claim.command is None:
                self._dead_letter(claim, "cannot be opened or read")
            elif claim.command.kind is Kind.REGISTER and not claim.is_held:
                # Its record was removed or has expired, or an old command was queued again.
                return True
            else:
                return self._send(claim, claim.command)
        except Unavailable as error:
            # Redis failed: the lease runs out, and the command is due again.
            _log.warning("worker_lost_claim", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - one command must not end the others of its batch
            _log.error("worker_command_failed", type=type(error).__name__)
        return False

    def _send(self, claim: Claim, command: Command) -> bool:
        try:
            self._sender.send(command, Deadline.after(VELT_SECONDS))
        except CommandFailed as error:
            self._failed(claim, error.reason)
        except VeltUnreachable as error:
            _log.info("velt_unreached", reason=error.reason)
            self._sender.release(claim, _UNREACHABLE_DELAY_MS)
        except VeltRefused as refusal:
            self._refused(claim, refusal)
        else:
            return True
        return False

    def _refused(self, claim: Claim, refusal: VeltRefused) -> None:
        if refusal.status in FINAL:
            self._dead_letter(claim, refusal.status)
            return
        if refusal.status in CREDENTIALS:
            # Velt refuses every command while our token is wrong: none is dead-lettered for that.
            self._sender.breaker.failure()
            self._sender.release(claim, _UNREACHABLE_DELAY_MS)
            return
        # A misconfigured gateway may have answered, or Velt may mean this command.
        _log.error("velt_refuses_oddly", status=refusal.status[:40])
        self._sender.count_failed_call()
        self._failed(claim, refusal.status[:40])

    def _failed(self, claim: Claim, reason: str) -> None:
        """Release a command that Velt answered with a failure, or dead-letter it after `max_attempts`.

        An attempt counts only when Velt has accepted another command since this one's last attempt, which it
        doesn't in an outage.
        """
        since_ms = claim.failed_ms
        counts = since_ms >= 0 and self._sender.has_accepted_within(since_ms / 1000)
        failures = claim.failures + counts
        if failures >= self._max_attempts:
            self._dead_letter(claim, f"Velt failed at it {failures} times: {reason}")
            return
        _log.info("velt_failed_at_a_command", reason=reason, failures=failures)
        longest = _MAX_DELAY_MS if counts else _MAX_OUTAGE_DELAY_MS
        delay_ms = min(longest, max(_UNREACHABLE_DELAY_MS, 2 * since_ms))
        self._sender.release(claim, delay_ms, failures=failures)

    def _dead_letter(self, claim: Claim, reason: str) -> None:
        _log.error("command_given_up", reason=reason)
        self._outbox.dead_letter(claim, reason)


def _batches(queues: list[Queue], threads: int) -> Iterator[list[Queue]]:
    """Split evenly: every thread gets a few before one gets many."""
    size = max(1, min(_MAX_BATCH, len(queues) // threads))
    for start in range(0, len(queues), size):
        yield queues[start : start + size]
