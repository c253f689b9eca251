"""The worker: tells Velt what no request could, in order for each notification, many side by side.

Idle, it sleeps until the doorbell rings (whoever leaves a command rings it) and looks around every two
seconds anyway, for what came due in silence: a lease that ran out, a bell that nobody heard.
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
from resolver.outbox.queue import Claimed, Outbox
from resolver.outbox.sender import SAY_SO_SECONDS, CommandFailed, Throttle, VeltSender, VeltUnreachable
from resolver.outbox.wake import WakeUp
from resolver.store.command import Command, Kind
from resolver.store.keyspace import Line
from resolver.velt.client import CREDENTIALS, FINAL

SWEEP_SECONDS = 2.0
VELT_SECONDS = 5.0
POISON_AFTER = 5
"""Claims in a row that came to no outcome: whatever the command does to its workers, it is given up."""
ISOLATE_AFTER = 2
"""After so many it runs alone, so that it takes nobody with it."""
_PAUSE_SECONDS = 0.5
_BEAT_SECONDS = 3.0
_UNREACHED_DELAY_MS = 500
_LONGEST_DELAY_MS = 60_000
_LONGEST_OUTAGE_DELAY_MS = 15_000
_MOST_AT_ONCE = 16
# With the last call's time, well within what a claim holds; and what is done to a notification meanwhile
# shouldn't find its registration in somebody's hands for long.
_BATCH_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Worker:
    def __init__(
        self, outbox: Outbox, sender: VeltSender, wake_up: WakeUp, threads: int, most_attempts: int
    ) -> None:
        self._outbox = outbox
        self._most_attempts = most_attempts
        self._sender = sender
        self._wake_up = wake_up
        self._threads = threads
        self._free = threading.Semaphore(threads)
        self._under_way: list[Future[None]] = []
        self._next_beat = 0.0
        self._waits_said, self._heartbeat_failure_said = Throttle(SAY_SO_SECONDS), Throttle(SAY_SO_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; what is under way then is finished first."""
        with self._wake_up.listening(), ThreadPoolExecutor(self._threads) as pool:
            while not stop.is_set():
                try:
                    self._round(pool, stop)
                except StoreUnavailable as error:
                    if self._waits_said.due():
                        _log.warning("worker_waits", reason=error.reason)
                    stop.wait(_PAUSE_SECONDS)
                except Exception as error:  # noqa: BLE001 - one round's trouble must not end the worker
                    _log.error("worker_round_failed", type=type(error).__name__)
                    stop.wait(_PAUSE_SECONDS)

    def wake(self) -> None:
        """So that a worker that sleeps sees at once that it is to stop."""
        self._wake_up.wake()

    def _round(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        self._heartbeat()
        if pause := self._sender.breaker.wait_seconds():
            stop.wait(min(pause, SWEEP_SECONDS))
            return
        lines = self._outbox.due()
        if not lines:
            self._wake_up.wait(SWEEP_SECONDS)
        # In no order, or a command that Velt always fails at would be the first to be tried each time.
        random.shuffle(lines)
        while lines and self._is_quiet():
            # If Velt has gone meanwhile, one call finds out, instead of one for each thread.
            self._work_one(lines.pop(), stop)
            if stop.is_set() or self._sender.breaker.wait_seconds():
                return
        for batch in _batches(lines, self._threads):
            self._free.acquire()
            if stop.is_set() or self._sender.breaker.wait_seconds():
                self._free.release()
                return
            self._take(batch, pool, stop)
            self._heartbeat()

    def _heartbeat(self) -> None:
        """A sign of life, now and then. That Redis is too full for one is no reason to stop working."""
        if time.monotonic() < self._next_beat:
            return
        try:
            self._outbox.heartbeat()
            self._next_beat = time.monotonic() + _BEAT_SECONDS
        except StoreUnavailable as error:
            if self._heartbeat_failure_said.due():
                _log.warning("worker_heartbeat_failed", reason=error.reason)

    def _take(self, lines: list[Line], pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Claims the lines' first commands and has them worked on; the caller has taken a free thread."""
        usual: list[Claimed] = []
        suspicious: list[Line] = []
        try:
            usual, suspicious = self._outbox.claim_all(lines, ISOLATE_AFTER)
        finally:
            if usual:
                self._start(pool, usual, stop)
            else:
                self._free.release()
        for line in suspicious:
            if stop.is_set():
                return
            with self._alone():
                self._work_one(line, stop)

    def _start(self, pool: ThreadPoolExecutor, claims: list[Claimed], stop: threading.Event) -> None:
        """Have a thread of the pool work on the claims, or this thread when the pool can start none."""
        is_taken = threading.Lock()

        def work() -> None:
            if is_taken.acquire(blocking=False):
                self._work_and_release(claims, stop)

        try:
            batch = pool.submit(work)
        except RuntimeError:
            # The pool has queued it all the same: one of its threads may take it now, or find it taken later.
            work()
        else:
            self._under_way = [batch, *(other for other in self._under_way if not other.done())]

    def _is_quiet(self) -> bool:
        """Nobody is asking Velt, and nobody has been answered just now."""
        return not self._sender.breaker.is_proven() and all(batch.done() for batch in self._under_way)

    def _work_one(self, line: Line, stop: threading.Event) -> None:
        """In this thread."""
        # Claimed when its turn has come: a claim would run out meanwhile, and count against it.
        if claimed := self._outbox.claim(line):
            self._work([claimed], stop)
        self._heartbeat()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Everybody else's work is finished, and none begins."""
        for _ in range(self._threads):
            self._free.acquire()
        try:
            yield
        finally:
            self._free.release(self._threads)

    def _work_and_release(self, claims: list[Claimed], stop: threading.Event) -> None:
        try:
            self._work(claims, stop)
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            _log.error("worker_batch_failed", type=type(error).__name__)
        finally:
            self._free.release()

    def _work(self, claims: list[Claimed], stop: threading.Event) -> None:
        """One after the other; what there is no time for goes back. Those that were told are done with
        together: whoever dies before that has told Velt twice, under the same ids."""
        until = time.monotonic() + _BATCH_SECONDS
        told, tried = [], 0
        for claimed in claims:
            if tried and (stop.is_set() or time.monotonic() > until or self._sender.breaker.wait_seconds()):
                break
            tried += 1
            if self._is_told(claimed):
                told.append(claimed)
        self._sender.done_all(told)
        for claimed in claims[tried:]:
            self._sender.release(claimed, tried=False)
            self._wake_up.wake()

    def _is_told(self, claimed: Claimed) -> bool:
        try:
            if claimed.abandoned_attempts >= POISON_AFTER:
                self._give_up(claimed, f"came to no outcome {claimed.abandoned_attempts} times")
            elif claimed.command is None:
                self._give_up(claimed, "cannot be opened or read")
            elif claimed.command.kind is Kind.REGISTER and not claimed.is_held:
                # Its record was removed or expired since; or someone put an old command back into the line.
                return True
            else:
                return self._tell(claimed, claimed.command)
        except Unavailable as error:
            # Of Redis: the claim runs out, and the command comes back.
            _log.warning("worker_lost_claim", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - likewise; nobody else would hear of it
            _log.error("worker_command_failed", type=type(error).__name__)
        return False

    def _tell(self, claimed: Claimed, command: Command) -> bool:
        try:
            self._sender.send(command, Deadline.after(VELT_SECONDS))
        except CommandFailed as error:
            self._failed(claimed, error.reason)
        except VeltUnreachable as error:
            _log.info("velt_unreached", reason=error.reason)
            self._sender.release(claimed, _UNREACHED_DELAY_MS)
        except VeltRefused as refusal:
            self._refused(claimed, refusal)
        else:
            return True
        return False

    def _refused(self, claimed: Claimed, refusal: VeltRefused) -> None:
        if refusal.status in FINAL:
            self._give_up(claimed, refusal.status)
            return
        if refusal.status in CREDENTIALS:
            # A token that was reset refuses everything: nothing is given up for that.
            self._sender.breaker.failure()
            self._sender.release(claimed, _UNREACHED_DELAY_MS)
            return
        # It may come from a gateway that lost its way, and may be about this command.
        _log.error("velt_refuses_oddly", status=refusal.status[:40])
        self._sender.failed_at_one()
        self._failed(claimed, refusal.status[:40])

    def _failed(self, claimed: Claimed, reason: str) -> None:
        """Try a command later that Velt answered with a failure, or give it up after enough attempts. An
        attempt counts only when Velt has accepted another command since this one's last: none does in an
        outage."""
        since_ms = claimed.failed_ms
        counts = since_ms >= 0 and self._sender.has_accepted_within(since_ms / 1000)
        failures = claimed.failures + counts
        if failures >= self._most_attempts:
            self._give_up(claimed, f"Velt failed at it {failures} times: {reason}")
            return
        _log.info("velt_failed_at_a_command", reason=reason, failures=failures)
        longest = _LONGEST_DELAY_MS if counts else _LONGEST_OUTAGE_DELAY_MS
        delay_ms = min(longest, max(_UNREACHED_DELAY_MS, 2 * since_ms))
        self._sender.release(claimed, delay_ms, failures=failures)

    def _give_up(self, claimed: Claimed, reason: str) -> None:
        _log.error("command_given_up", reason=reason)
        self._outbox.dead_letter(claimed, reason)


def _batches(lines: list[Line], threads: int) -> Iterator[list[Line]]:
    """A few for everybody before many for one."""
    size = max(1, min(_MOST_AT_ONCE, len(lines) // threads))
    for start in range(0, len(lines), size):
        yield lines[start : start + size]
