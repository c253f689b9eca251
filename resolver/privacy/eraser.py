"""Carries erasures out: content first, then Velt is told, then the certificate.

What is done is noted before it is done, so whoever goes on after a crash finishes it and counts nothing
twice. One process at a time works on them; the others look again a second later.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
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
    Blinded,
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
from resolver.store.keyspace import queue_of
from resolver.store.restored_backup import Certificates
from resolver.velt.client import FINAL, VeltClient

JSON = dict[str, Any]
_HOLD_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_SAVE_SECONDS = 1.0
# Of its time, this part at most is spent looking whether Velt has been told of everything.
_LOOKING_SHARE = 10
# Velt's own words: a deletion may take five minutes to be taken on, and a day to be done.
_VELT_STARTS_SECONDS = 300.0
_VELT_ANSWERS_SECONDS = 10.0
_PEOPLE_PER_JOB = 30
"""Velt's documented cap; of more it silently leaves out the rest."""
_log = structlog.get_logger(__name__)


class Swept(NamedTuple):
    """After commands were looked through."""

    order: ErasureRequest
    is_complete: bool
    """None of them was written by another process between reading and changing."""


@dataclass
class Eraser:
    erasure_store: ErasureStore
    erase: Erase
    outbox: Outbox
    velt: VeltClient
    trail: Trail
    signer: Signer
    pseudonym: Blinded
    certificates: Certificates | None
    me: str = field(default_factory=lambda: secrets.token_hex(8))
    _look_again: dict[str, float] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; what is under way then goes on elsewhere, or later."""
        while not stop.wait(_LOOK_SECONDS):
            with _only_logged():
                self.round(stop.is_set)

    def round(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Some work on each that is under way, the oldest first. One's trouble is not the others'."""
        under_way = self.erasure_store.under_way()
        try:
            for id_ in sorted(under_way, key=lambda name: str(under_way[name]["asked"])):
                with _only_logged():
                    for _ in self.advance(id_):
                        if is_over():
                            return
        finally:
            self.erasure_store.release_lease(self.me)

    def advance(self, id_: str) -> Iterator[ErasureRequest]:
        """As far as it goes now, told after each step; nothing while another process is at it."""
        # Read once it is ours: what was read before that may have been done by somebody else since.
        if not self._held() or (state := self.erasure_store.read(id_)) is None:
            return
        order = ErasureRequest.from_state(state)
        if self._is_put_back(order):
            return
        if order.phase in (Phase.WAITING, Phase.ERASING):
            for order in self._erase(order):  # noqa: B020 - the same one, further on
                yield order
        if order.phase is Phase.TELLING:
            yield self._told(order)

    def again(self, order: ErasureRequest) -> Iterator[ErasureRequest]:
        """What was certified already, after a backup was restored: to its end, or an error."""
        until = time.monotonic() + _HOLD_SECONDS + _LOOK_SECONDS
        while not self._held() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)  # whoever was killed at it holds it still
        for order in self._erase(order):  # noqa: B020, PLR1704 - the same one, further on
            yield order
        self.erasure_store.release_lease(self.me)
        if order.phase is not Phase.TELLING:
            raise StoreUnavailable("another process is at work on erasures")

    def _is_put_back(self, order: ErasureRequest) -> bool:
        """Whether it is done already, and came back: it must not be done a second time in somebody's name."""
        kept = self.certificates.text_of(order.id) if self.certificates else None
        texts = (kept, self.erasure_store.certificate(order.id))
        certificate = next((text for text in texts if text and self._is_certificate_of(order, text)), None)
        if certificate is None and (order.ending or not self.erasure_store.known([order.id])):
            return False
        if not order.ending:  # else a process ended between two of the last steps
            _log.error("erasure_refused", erasure=order.id, reason="finished before, and put back")
        if certificate:
            self.erasure_store.close(order.id, certificate)
        return True

    def _is_certificate_of(self, order: ErasureRequest, text: bytes) -> bool:
        try:
            body = verified(text, [self.signer.public_key])
        except InvalidCertificate:
            return False
        return bool(body["erasureId"] == order.id)

    def _erase(self, order: ErasureRequest) -> Iterator[ErasureRequest]:
        """Pass after pass, until one during which nothing moved back past it (docs/privacy.md)."""
        order = order.now(phase=Phase.ERASING, of=self.erasure_store.size())
        is_settled = False
        while not is_settled:
            moves = self.outbox.moves()
            passed = yield from self._pass(order)
            if passed is None:
                return
            order, is_complete = passed
            is_settled = is_complete and self.outbox.moves() == moves
        order = order.now(phase=Phase.TELLING, jobs=_jobs(order))
        self._save(order)
        yield order

    def _pass(self, order: ErasureRequest) -> Generator[ErasureRequest, None, Swept | None]:
        """Records, then commands that wait, then dead ones; None when another process took over."""
        order = order.now(looked=0, unreadable=0)
        unreadable = self._unreadable()
        saved = 0.0
        for looked in self.erase.records(order, partial(self._announce, order)):
            order = order.now(looked=order.looked + looked)
            if time.monotonic() - saved >= _SAVE_SECONDS:
                self._save(order)
                saved = time.monotonic()
            yield order
            if not self._held():
                return None
        swept = self._out_of_commands(order)
        return swept._replace(order=swept.order.now(unreadable=self._unreadable() - unreadable))

    def _unreadable(self) -> int:
        return self.erase.store.unreadable + self.outbox.unreadable

    def _announce(self, order: ErasureRequest, planned: Sequence[PlannedErasure]) -> None:
        """On record, and noted, before it is done."""
        by_organization: dict[str, list[str]] = {}
        for item in planned:
            record = item.held.record
            by_organization.setdefault(record.organization, []).append(record.notification)
        for organization, ids in by_organization.items():
            self._record("erase", order, organization=organization, ids=ids)
        self.erasure_store.touch(order.id, {item.held.key_name: item.fate.value for item in planned})

    def _out_of_commands(self, order: ErasureRequest) -> Swept:
        def announce(organization: str, notification: str) -> None:
            self._record("erase", order, organization=organization, ids=[notification])
            self._held()

        def told(name: str) -> None:
            self.erasure_store.touch_if_new(order.id, name, Effect.TOLD.value)

        changed, overtaken = self.erase.commands(order, announce, told)
        return Swept(order.now(commands=order.commands + changed), is_complete=not overtaken)

    def _told(self, order: ErasureRequest) -> ErasureRequest:
        order = self._ask_velt(order)
        if time.monotonic() < self._look_again.get(order.id, 0.0) or not all(j.ended for j in order.jobs):
            return order
        started = time.monotonic()
        touched = self.erasure_store.touched(order.id)
        told = [name for name, fate in touched.items() if fate != Effect.CUT]
        if self.erasure_store.waiting(told):
            cost = time.monotonic() - started
            self._look_again[order.id] = time.monotonic() + max(_LOOK_SECONDS, cost * _LOOKING_SHARE)
            return order
        # Once more, before a certificate says so: all scripts keep to it, and an operator's hands may not.
        moves = self.outbox.moves()
        swept, is_complete = self._out_of_commands(order)
        if swept.commands != order.commands or not is_complete or self.outbox.moves() != moves:
            self._save(swept)
            return swept
        return self._certify(order, Outcome(counts(order, touched), self._velts_outcome(order, told)))

    def _certify(self, order: ErasureRequest, outcome: Outcome) -> ErasureRequest:
        """Where the restored database would look first, then where it is asked for."""
        if not self._held() or self.erasure_store.read(order.id) is None:
            return order  # it took so long that somebody else went on with it
        head = self._record("erased", order, counts=outcome.counts)
        body = certificate(order, outcome, head, self.pseudonym, self.signer.public_key)
        text = signed(body, self.signer)
        self._save(order.now(ending=True))
        self.erasure_store.know(order.id)
        if self.certificates:
            text = self.certificates.keep(order.id, text)
        self.erasure_store.close(order.id, text)
        self._look_again.pop(order.id, None)
        return order.now(phase=Phase.DONE)

    def _velts_outcome(self, order: ErasureRequest, told: Sequence[str]) -> JSON:
        given_up = {dead.name.split(":")[1] for dead in self.outbox.dead_letters.all()}
        refused = sum(queue_of(name).member in given_up for name in told)
        asked = [{"people": len(job.users), "job": job.job, "outcome": job.ended} for job in order.jobs]
        return {"told": len(told) - refused, "refused": refused, "userData": asked or "not asked for"}

    def _ask_velt(self, order: ErasureRequest) -> ErasureRequest:
        """One step on each of Velt's own jobs, when its deletion of people's data was asked for."""
        for number, job in enumerate(order.jobs):
            if job.ended or time.monotonic() < self._look_again.get(order.id, 0.0):
                continue
            jobs = (*order.jobs[:number], self._further(job, order), *order.jobs[number + 1 :])
            order = order.now(jobs=jobs)
            self._save(order)
        return order

    def _further(self, job: VeltJob, order: ErasureRequest) -> VeltJob:
        self._look_again[order.id] = time.monotonic() + _LOOK_SECONDS * _LOOKING_SHARE
        try:
            further = self._asked(job, order)
        except VeltRefused as refusal:
            # Too many requests, or a credential that is mended in an hour, is no answer to what was asked.
            if refusal.status not in FINAL:
                _log.error("velt_refuses_an_erasure", status=refusal.status[:40])
                return job
            further = replace(job, ended=refusal.status[:40])
        finally:
            self._held()
        if further is not job:
            del self._look_again[order.id]
        return further

    def _asked(self, job: VeltJob, order: ErasureRequest) -> VeltJob:
        if not job.job:
            self.erasure_store.hold(self.me, _VELT_STARTS_SECONDS + _HOLD_SECONDS)
            until = Deadline.after(_VELT_STARTS_SECONDS)
            return replace(job, job=self.velt.delete_user_data(job.users, order.organizations, until))
        if self.velt.is_user_data_deleted(job.job, Deadline.after(_VELT_ANSWERS_SECONDS)):
            return replace(job, ended="completed")
        return job

    def _record(self, action: str, order: ErasureRequest, **more: Any) -> Link:
        named = {name: more.pop(name) for name in ("organization", "ids") if name in more}
        told = {"erasure": order.id, **more}
        return self.trail.record(Event(Actor("ops", order.by), "privacy", action, "ok", more=told, **named))

    def _save(self, order: ErasureRequest) -> None:
        self.erasure_store.save(order.id, order.state(), self.me)

    def _held(self) -> bool:
        return self.erasure_store.hold(self.me, _HOLD_SECONDS)


@contextmanager
def _only_logged() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        _log.warning("erasures_wait", reason=getattr(error, "reason", type(error).__name__))
    except Exception as error:  # noqa: BLE001 - one erasure's trouble must not end the others
        _log.error("erasure_failed", type=type(error).__name__)


def _jobs(order: ErasureRequest) -> tuple[VeltJob, ...]:
    if not order.velt_user_data:
        return ()
    starts = range(0, len(order.users), _PEOPLE_PER_JOB)
    return tuple(VeltJob(order.users[start : start + _PEOPLE_PER_JOB]) for start in starts)
