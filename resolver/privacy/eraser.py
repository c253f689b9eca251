"""Carry out erasures: first the content here, then Velt, then the erasure certificate.

Each step is noted before it is taken, so another process can finish after a crash without counting anything
twice. A lease lets one process at a time work on erasures; the others poll every second.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import structlog

from resolver.audit.chain import Link
from resolver.audit.event import Actor, Event
from resolver.audit.signing import Signer
from resolver.audit.trail import Trail
from resolver.deadline import Deadline
from resolver.errors import StoreUnavailable, Unavailable, VeltRefused
from resolver.outbox.queue import Outbox
from resolver.privacy.certificate import (
    InvalidCertificate,
    Outcome,
    certificate,
    signed,
    verified,
)
from resolver.privacy.erase import Effect, Erase, PlannedErasure
from resolver.privacy.erasure_request import ErasureRequest, Phase, VeltJob
from resolver.privacy.erasure_store import ErasureStore
from resolver.privacy.erasures import counts
from resolver.privacy.people import folded
from resolver.store.keyspace import Keyspace, queue_of
from resolver.store.lease import Lease
from resolver.store.restored_backup import Certificates
from resolver.store.unfinished_deletions import UnfinishedDeletions
from resolver.velt.client import FINAL, VeltClient

JSON = dict[str, Any]
_LEASE_SECONDS = 20.0
_POLL_SECONDS = 1.0
_SAVE_SECONDS = 1.0
# Checking whether Velt has everything takes at most one part in so many of the worker's time.
_POLL_FACTOR = 10
# Velt documents up to five minutes until a deletion is accepted, and a day until it is done.
_VELT_STARTS_SECONDS = 300.0
_VELT_ANSWERS_SECONDS = 10.0
_PEOPLE_PER_JOB = 30
"""Velt's documented limit; Velt silently ignores the users beyond it."""
_log = structlog.get_logger(__name__)


class CommandsPass(NamedTuple):
    request: ErasureRequest
    is_complete: bool
    """No other process wrote a command between reading and rewriting it."""


@dataclass
class Eraser:
    erasure_store: ErasureStore
    lease: Lease
    erase: Erase
    outbox: Outbox
    velt: VeltClient
    trail: Trail
    signer: Signer
    keys: Callable[[], Collection[str]]
    """Returns the public keys whose signatures are accepted."""
    keyspace: Keyspace
    certificates: Certificates | None
    unfinished: UnfinishedDeletions
    me: str = field(default_factory=lambda: secrets.token_hex(8))
    _next_poll: dict[str, float] = field(default_factory=dict, init=False)

    def run(self, stop: threading.Event) -> None:
        """Work on erasures until `stop` is set; another process, or a later run, continues from there."""
        while not stop.wait(_POLL_SECONDS):
            with _log_errors():
                self.round(stop.is_set)

    def round(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Advance each open erasure, oldest first. An error in one doesn't stop the others."""
        under_way = self.erasure_store.under_way()
        try:
            for id_ in sorted(under_way, key=lambda name: str(under_way[name]["asked"])):
                with _log_errors():
                    for _ in self.advance(id_):
                        if is_over():
                            return
        finally:
            self.lease.release(self.me)

    def advance(self, id_: str) -> Iterator[ErasureRequest]:
        """Advance one erasure as far as possible now, and yield it after each step. Does nothing while
        another process has the lease."""
        # Read under the lease: a state read earlier may be outdated.
        if not self._renew_lease() or (state := self.erasure_store.read(id_)) is None:
            return
        request = ErasureRequest.from_state(state)
        if self._close_if_finished(request):
            return
        if request.phase in (Phase.WAITING, Phase.ERASING):
            for request in self._erase(request):  # noqa: B020 - the same one, further on
                yield request
        if request.phase is Phase.AWAITING_VELT:
            yield self._finish_with_velt(request)

    def repeat(self, request: ErasureRequest) -> Iterator[ErasureRequest]:
        """Repeat a certified erasure after a backup was restored. Raises StoreUnavailable if another process
        takes over."""
        until = time.monotonic() + _LEASE_SECONDS + _POLL_SECONDS
        while not self._renew_lease() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)  # a process that was killed keeps its lease until it expires
        for request in self._erase(request):  # noqa: B020, PLR1704 - the same one, further on
            yield request
        self.lease.release(self.me)
        if request.phase is not Phase.AWAITING_VELT:
            raise StoreUnavailable("another process is at work on erasures")

    def _close_if_finished(self, request: ErasureRequest) -> bool:
        """Whether a finished erasure is open again, put back by someone who can write to Redis. Close it: it
        must not be carried out a second time in the requester's name."""
        kept = self.certificates.text_of(request.id) if self.certificates else None
        texts = (kept, self.erasure_store.certificate(request.id))
        certificate = next((text for text in texts if text and self._is_certificate_of(request, text)), None)
        if certificate is None and (request.ending or not self.erasure_store.known([request.id])):
            return False
        if not request.ending:  # with `ending`, a process only stopped between two of the last steps
            _log.error("erasure_refused", erasure=request.id, reason="finished before, and put back")
        if certificate:
            self.erasure_store.close(request.id, certificate)
        return True

    def _is_certificate_of(self, request: ErasureRequest, text: bytes) -> bool:
        try:
            body = verified(text, self.keys())
        except InvalidCertificate:
            return False
        return bool(body["erasureId"] == request.id)

    def _erase(self, request: ErasureRequest) -> Iterator[ErasureRequest]:
        """Repeat the pass until no entry moved during one: a moved entry may be missed (docs/privacy.md)."""
        request = request.now(phase=Phase.ERASING, of=self.erasure_store.size())
        is_settled = False
        while not is_settled:
            moves = self.outbox.moves()
            passed = yield from self._pass(request)
            if passed is None:
                return
            request, is_complete = passed
            is_settled = is_complete and self.outbox.moves() == moves
        request = request.now(phase=Phase.AWAITING_VELT, jobs=_jobs(request))
        self._save(request)
        yield request

    def _pass(self, request: ErasureRequest) -> Generator[ErasureRequest, None, CommandsPass | None]:
        """Erase from records, queued commands, dead letters, in this order; None if the lease was lost."""
        request = request.now(looked=0, unreadable=0)
        unreadable = self._unreadable()
        saved = 0.0
        for looked in self.erase.records(request, partial(self._announce, request)):
            request = request.now(looked=request.looked + looked)
            if time.monotonic() - saved >= _SAVE_SECONDS:
                self._save(request)
                saved = time.monotonic()
            yield request
            if not self._renew_lease():
                return None
        swept = self._erase_commands(request)
        return swept._replace(request=swept.request.now(unreadable=self._unreadable() - unreadable))

    def _unreadable(self) -> int:
        return self.erase.store.unreadable + self.outbox.unreadable

    def _announce(self, request: ErasureRequest, planned: Sequence[PlannedErasure]) -> None:
        """Write the audit lines and note the effects before the batch is erased."""
        by_organization: dict[str, list[str]] = {}
        for item in planned:
            record = item.held.record
            by_organization.setdefault(record.organization, []).append(record.notification)
        for organization, ids in by_organization.items():
            self._record("erase", request, organization=organization, ids=ids)
        self.erasure_store.touch(request.id, {item.held.key_name: item.effect.value for item in planned})

    def _erase_commands(self, request: ErasureRequest) -> CommandsPass:
        def announce(organization: str, notification: str) -> None:
            self._record("erase", request, organization=organization, ids=[notification])
            self._renew_lease()

        def on_queued(name: str) -> None:
            self.erasure_store.touch_if_new(request.id, name, Effect.COMMAND_ONLY.value)

        self._drop_deletions(request)
        changed, overtaken = self.erase.commands(request, announce, on_queued)
        return CommandsPass(request.now(commands=request.commands + changed), is_complete=not overtaken)

    def _drop_deletions(self, request: ErasureRequest) -> None:
        """Drop interrupted deletions that the erasure covers: finishing one later would write the person's id
        into records again."""
        for id_, deletion in self.unfinished.all().items():
            organization = str(deletion.filters["organizationId"])
            is_theirs = request.whole or folded(deletion.filters.get("userId", "")) in request.subject.ids()
            if is_theirs and request.covers(organization, deletion.asked):
                self.unfinished.forget(id_)

    def _finish_with_velt(self, request: ErasureRequest) -> ErasureRequest:
        request = self._advance_jobs(request)
        if time.monotonic() < self._next_poll.get(request.id, 0.0) or not all(j.ended for j in request.jobs):
            return request
        started = time.monotonic()
        touched = self.erasure_store.touched(request.id)
        with_command = [name for name, effect in touched.items() if effect != Effect.CUT]
        if self.erasure_store.waiting(with_command):
            cost = time.monotonic() - started
            self._next_poll[request.id] = time.monotonic() + max(_POLL_SECONDS, cost * _POLL_FACTOR)
            return request
        # Check once more before signing: an operator may have changed Redis by hand meanwhile.
        moves = self.outbox.moves()
        swept, is_complete = self._erase_commands(request)
        if swept.commands != request.commands or not is_complete or self.outbox.moves() != moves:
            self._save(swept)
            return swept
        return self._certify(
            request, Outcome(counts(request, touched), self._velt_outcome(request, with_command))
        )

    def _certify(self, request: ErasureRequest, outcome: Outcome) -> ErasureRequest:
        """Sign the erasure certificate, and store it first outside Redis (replay reads it there), then in
        Redis."""
        if not self._renew_lease() or self.erasure_store.read(request.id) is None:
            return request  # the lease ran out, and another process continued
        head = self._record("erased", request, counts=outcome.counts)
        body = certificate(request, outcome, head, self.keyspace, self.signer.public_key)
        text = signed(body, self.signer)
        self._save(request.now(ending=True))
        self.erasure_store.know(request.id)
        if self.certificates:
            text = self.certificates.keep(request.id, text)
        self.erasure_store.close(request.id, text)
        self._next_poll.pop(request.id, None)
        return request.now(phase=Phase.DONE)

    def _velt_outcome(self, request: ErasureRequest, records: Sequence[str]) -> JSON:
        given_up = {dead.name.split(":")[1] for dead in self.outbox.dead_letters.all()}
        refused = sum(queue_of(name).member in given_up for name in records)
        asked = [{"people": len(job.users), "job": job.job, "outcome": job.ended} for job in request.jobs]
        return {"told": len(records) - refused, "refused": refused, "userData": asked or "not asked for"}

    def _advance_jobs(self, request: ErasureRequest) -> ErasureRequest:
        """Advance each of Velt's deletion jobs by one step, if the request asks for them."""
        for number, job in enumerate(request.jobs):
            if job.ended or time.monotonic() < self._next_poll.get(request.id, 0.0):
                continue
            jobs = (*request.jobs[:number], self._advance_job(job, request), *request.jobs[number + 1 :])
            request = request.now(jobs=jobs)
            self._save(request)
        return request

    def _advance_job(self, job: VeltJob, request: ErasureRequest) -> VeltJob:
        self._next_poll[request.id] = time.monotonic() + _POLL_SECONDS * _POLL_FACTOR
        try:
            further = self._request_or_poll(job, request)
        except VeltRefused as refusal:
            # A rate limit or a wrong credential is temporary: don't record it as Velt's answer.
            if refusal.status not in FINAL:
                _log.error("velt_refuses_an_erasure", status=refusal.status[:40])
                return job
            further = replace(job, ended=refusal.status[:40])
        finally:
            self._renew_lease()
        if further is not job:
            del self._next_poll[request.id]
        return further

    def _request_or_poll(self, job: VeltJob, request: ErasureRequest) -> VeltJob:
        if not job.job:
            self.lease.acquire(self.me, _VELT_STARTS_SECONDS + _LEASE_SECONDS)
            until = Deadline.after(_VELT_STARTS_SECONDS)
            return replace(job, job=self.velt.delete_user_data(job.users, request.organizations, until))
        if self.velt.is_user_data_deleted(job.job, Deadline.after(_VELT_ANSWERS_SECONDS)):
            return replace(job, ended="completed")
        return job

    def _record(self, action: str, request: ErasureRequest, **more: Any) -> Link:
        named = {name: more.pop(name) for name in ("organization", "ids") if name in more}
        more = {"erasure": request.id, **more}
        return self.trail.record(Event(Actor("ops", request.by), "privacy", action, "ok", more=more, **named))

    def _save(self, request: ErasureRequest) -> None:
        self.erasure_store.save(request.id, request.state(), self.me)

    def _renew_lease(self) -> bool:
        return self.lease.acquire(self.me, _LEASE_SECONDS)


@contextmanager
def _log_errors() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        _log.warning("erasures_wait", reason=getattr(error, "reason", type(error).__name__))
    except Exception as error:  # noqa: BLE001 - one erasure's error must not end the others
        _log.error("erasure_failed", type=type(error).__name__)


def _jobs(request: ErasureRequest) -> tuple[VeltJob, ...]:
    if not request.velt_user_data:
        return ()
    starts = range(0, len(request.users), _PEOPLE_PER_JOB)
    return tuple(VeltJob(request.users[start : start + _PEOPLE_PER_JOB]) for start in starts)
