"""A probe: a notification that `resolver check --live` adds, examines, and removes in any case.

Its id contains a prefix and its time, so that the next run finds what a killed run left.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.errors import ResolverError, Unavailable, VeltRefused
from resolver.notifications.add import AddNotification
from resolver.notifications.delete import DeleteNotifications
from resolver.outbox.queue import Claim
from resolver.outbox.sender import VeltUnreachable
from resolver.store.keyspace import Keyspace, queue_of
from resolver.store.record import Record
from resolver.velt import requests
from resolver.velt.client import CREDENTIALS, VeltEndpoint
from resolver.velt.field_allow_list import RESOLVER_MODE, split_add

JSON = dict[str, Any]
PREFIX = "resolver-probe-"
ACTOR, STRANGER = "resolver-check", "resolver-check-stranger"
STALE_SECONDS = 600
"""Longer than any run: an older probe was left by a killed one."""
_MADE = re.compile(PREFIX + r"([0-9]{1,12})-[0-9a-f]+(?:-[a-z]+)?")
_CALL_SECONDS = 5.0
_CLEAN_UP_SECONDS = 12.0
_POLL_SECONDS = 0.4
_NAME, _EMAIL = "Quillon Vexworth", "quillon@vexworth.example"
_HEADLINE, _BODY = "zephyrine headline by {actionUser}", "zephyrine body"
WORDS = ("quillon", "vexworth", "zephyrine")
"""Words of the probe's content, found nowhere else."""


@dataclass(frozen=True, slots=True)
class Left:
    """Parts of a probe that still exist; None for unknown."""

    held: bool | None
    waiting: bool | None
    at_velt: bool | None
    refused: bool = False
    """Velt refuses to say."""

    @property
    def nothing(self) -> bool:
        return not self.refused and self.settled

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.held is False and self.waiting is False and (self.at_velt is False or self.refused)


@dataclass(frozen=True, slots=True)
class Probe:
    organization: str
    document: str
    user: str
    add: AddNotification
    delete: DeleteNotifications
    keyspace: Keyspace
    audit: Callable[[], AuditContext]
    id: str = field(default_factory=lambda: f"{PREFIX}{int(time.time())}-{secrets.token_hex(6)}")

    @property
    def unknown(self) -> str:
        """An id that was never sent to Velt."""
        return f"{self.id}-unknown"

    @property
    def rows(self) -> list[str]:
        """Every id that a run may leave at Velt: the probe, and rows that were added only there."""
        return [self.id, self.unknown, *(f"{self.id}-{name}" for name in ("absent", "empty", "copies"))]

    @property
    def unmatched(self) -> JSON:
        """A context that no reader has: it hides a row for everyone from all users."""
        return {"access": {"resolverProbe": self.id}}

    @contextmanager
    def row(self, name: str, **fields: Any) -> Iterator[str]:
        """Add a row only at Velt, without content, until the block ends. Yields its id."""
        id_ = f"{self.id}-{name}"
        self.ask(
            VeltEndpoint.ADD,
            documentId=self.document,
            notificationId=id_,
            actionUser={"userId": ACTOR},
            **RESOLVER_MODE,
            **fields,
        )
        try:
            yield id_
        finally:
            with suppress(ResolverError):  # `take_away` tries again
                self.ask(VeltEndpoint.DELETE, notificationIds=[id_])

    def is_listed(self, id_: str, **by: Any) -> bool:
        """Whether Velt's get returns it."""
        items = self.ask(VeltEndpoint.GET, notificationIds=[id_], **by).get("data")
        return any(item.get("id") == id_ for item in _objects(items))

    def request(self) -> JSON:
        return {
            "organizationId": self.organization,
            "documentId": self.document,
            "notificationId": self.id,
            "actionUser": {"userId": ACTOR, "name": _NAME, "email": _EMAIL},
            "notifyUsers": [{"userId": self.user, "name": _NAME, "email": _EMAIL}],
            "notifyAll": False,
            "displayHeadlineMessageTemplate": _HEADLINE,
            "displayBodyMessage": _BODY,
            "notificationSourceData": {"note": _BODY},
            "metadata": {"note": _BODY},
        }

    def added(self) -> JSON:
        """Add the probe as a backend would, and return the reply's data."""
        data: JSON = self.add(self.request(), Deadline.after(_CALL_SECONDS), self.audit())["result"]["data"]
        return data

    def added_again(self) -> None:
        """Send Velt the registration once more, as a retry does after an outage."""
        forward = split_add(requests.parse(requests.ADD, self.request()), self.add.people).forward
        self.ask(VeltEndpoint.ADD, **forward)

    def ask(self, endpoint: VeltEndpoint, **data: Any) -> JSON:
        """Call Velt directly, and return its result."""
        asked = {"organizationId": self.organization, **data}
        result: JSON = self.delete.velt.post(endpoint, asked, Deadline.after(_CALL_SECONDS))["result"]
        return result

    def listed(self, **by: Any) -> list[JSON]:
        """The items that Velt's get returns for this probe."""
        items = self.ask(VeltEndpoint.GET, **by).get("data")
        return [item for item in _objects(items) if item.get("id") == self.id]

    def outcome(self, endpoint: VeltEndpoint, id_: str) -> bool | None:
        """Velt's `success` for an update or deletion of this id; None without one."""
        entries = {"notifications": [{"id": id_, "readByUserIds": [self.user]}]}
        data = self.ask(
            endpoint, **(entries if endpoint is VeltEndpoint.UPDATE else {"notificationIds": [id_]})
        ).get("data")
        said = data.get(id_) if isinstance(data, dict) else None
        return said.get("success") if isinstance(said, dict) else None

    def leftovers(self, *, until: Callable[[], bool]) -> list[str]:
        """Ids of probes that killed runs left, here and at Velt."""
        held = _until(until, self.add.store.scan())
        here = (record.notification for record in held if record.organization == self.organization)
        there: list[Any] = []
        with suppress(Unavailable, VeltRefused):
            found = self.ask(VeltEndpoint.GET, documentId=self.document).get("data")
            there = [item.get("id") for item in _objects(found)]
        return sorted({id_ for id_ in (*there, *here) if is_stale(id_)})

    def remove(self, ids: list[str]) -> None:
        request = {"organizationId": self.organization, "notificationIds": ids}
        self.delete(request, Deadline.after(_CALL_SECONDS), self.audit())

    def take_away(self) -> Left:
        """Remove the probe here and at Velt, trying for some seconds. Returns what is left."""
        deadline = Deadline.after(_CLEAN_UP_SECONDS)
        self._remove()
        while not (left := self._left()).settled and deadline.remaining() > 0:
            time.sleep(_POLL_SECONDS)
            if left.held is not False or (left.at_velt and not left.waiting):
                self._remove()
            self._send_queued()
        return left

    def _remove(self) -> None:
        with suppress(ResolverError):
            self.remove([self.id])
            return
        # Redis may have failed: remove it at Velt all the same.
        with suppress(ResolverError):
            self.ask(VeltEndpoint.DELETE, notificationIds=[self.id])

    def _left(self) -> Left:
        held = waiting = at_velt = None
        refused = False
        with suppress(Unavailable):
            held = bool(self.add.store.read(self.organization, [self.id]))
            queue = queue_of(self.keyspace.record(self.organization, self.id))
            waiting = bool(self.add.outbox.fields(queue.commands))
        try:
            at_velt = self._is_at_velt()
        except VeltRefused:
            refused = True
        except Unavailable:
            pass
        return Left(held, waiting, at_velt, refused)

    def _is_at_velt(self) -> bool:
        """Whether Velt has the probe, or a row of another of its ids: an update may have created one."""
        items = self.ask(VeltEndpoint.GET, documentId=self.document, notificationIds=self.rows).get("data")
        found = {item.get("id") for item in _objects(items)}
        if others := [id_ for id_ in self.rows[1:] if id_ in found]:
            self.ask(VeltEndpoint.DELETE, notificationIds=others)
        return not found.isdisjoint(self.rows)

    def _send_queued(self) -> None:
        """Send this probe's queued commands, except those that a worker has claimed."""
        outbox = self.add.outbox
        queue = queue_of(self.keyspace.record(self.organization, self.id))
        with suppress(Unavailable):
            while claim := outbox.claim(queue):
                if not self._send(claim):
                    return

    def _send(self, claim: Claim) -> bool:
        sender = self.delete.sender
        if claim.command is None:
            return False
        try:
            sender.send(claim.command, Deadline.after(_CALL_SECONDS))
        except VeltUnreachable:
            sender.release(claim)
            return False
        except VeltRefused as refusal:
            if refusal.status in CREDENTIALS:
                sender.release(claim)
                return False
        sender.complete(claim)
        return True


def words_in(answer: Any) -> list[str]:
    """Words of the probe's content that occur in an answer of Velt, in upper or lower case."""
    text = orjson.dumps(answer).decode().lower()
    return [word for word in WORDS if word in text]


def is_stale(id_: Any) -> bool:
    made = _MADE.fullmatch(id_) if isinstance(id_, str) else None
    return made is not None and time.time() - int(made[1]) > STALE_SECONDS


def _objects(items: Any) -> Iterator[JSON]:
    yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _until(stopped: Callable[[], bool], records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        if stopped():
            return
        yield record
