"""A notification that is added to see what becomes of it, and taken away again whatever happens.

Its id says what it is and when it was made, so that what a killed run left behind is found by the next.
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
from resolver.velt.client import CREDENTIALS, Endpoint
from resolver.velt.field_allow_list import RESOLVER_MODE, split_add

JSON = dict[str, Any]
PREFIX = "resolver-probe-"
ACTOR, STRANGER = "resolver-check", "resolver-check-stranger"
STALE_SECONDS = 600
"""Longer than any run takes: an older probe is nobody's any more."""
_MADE = re.compile(PREFIX + r"([0-9]{1,12})-[0-9a-f]+(?:-[a-z]+)?")
_CALL_SECONDS = 5.0
_PATIENT_SECONDS = 12.0
_LOOK_SECONDS = 0.4
_NAME, _EMAIL = "Quillon Vexworth", "quillon@vexworth.example"
_HEADLINE, _BODY = "zephyrine headline by {actionUser}", "zephyrine body"
WORDS = ("quillon", "vexworth", "zephyrine")
"""In all of the probe's content, and in nothing else anywhere."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is still there of a probe. None: that couldn't be asked."""

    held: bool | None
    waiting: bool | None
    at_velt: bool | None
    refused: bool = False
    """Velt doesn't let us look, now or later."""

    @property
    def nothing(self) -> bool:
        return not self.refused and self.settled

    @property
    def settled(self) -> bool:
        """Waiting longer would show nothing new."""
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
        """An id that Velt was never sent."""
        return f"{self.id}-unknown"

    @property
    def rows(self) -> list[str]:
        """Every id that a run may leave at Velt: the probe, and rows that were asked of Velt alone."""
        return [self.id, self.unknown, *(f"{self.id}-{name}" for name in ("absent", "empty", "copies"))]

    @property
    def unmatched(self) -> JSON:
        """A context that no reader has: it keeps a row for everyone from being shown to anyone."""
        return {"access": {"resolverProbe": self.id}}

    @contextmanager
    def row(self, name: str, **fields: Any) -> Iterator[str]:
        """A row at Velt alone, without content, until the block ends: its id."""
        id_ = f"{self.id}-{name}"
        self.ask(
            Endpoint.ADD,
            documentId=self.document,
            notificationId=id_,
            actionUser={"userId": ACTOR},
            **RESOLVER_MODE,
            **fields,
        )
        try:
            yield id_
        finally:
            with suppress(ResolverError):  # `take_away` looks for it again
                self.ask(Endpoint.DELETE, notificationIds=[id_])

    def is_listed(self, id_: str, **by: Any) -> bool:
        """Whether Velt's get gives it back."""
        items = self.ask(Endpoint.GET, notificationIds=[id_], **by).get("data")
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
        """By our own use case, as a backend's would be."""
        data: JSON = self.add(self.request(), Deadline.after(_CALL_SECONDS), self.audit())["result"]["data"]
        return data

    def added_again(self) -> None:
        """To Velt alone, the very bytes that it was sent before: as a retry does after an outage."""
        forward = split_add(requests.parse(requests.ADD, self.request()), self.add.people).forward
        self.ask(Endpoint.ADD, **forward)

    def ask(self, endpoint: Endpoint, **data: Any) -> JSON:
        """Velt's own answer, around everything that is ours."""
        asked = {"organizationId": self.organization, **data}
        result: JSON = self.delete.velt.post(endpoint, asked, Deadline.after(_CALL_SECONDS))["result"]
        return result

    def listed(self, **by: Any) -> list[JSON]:
        """This probe as often as Velt's get gives it back."""
        items = self.ask(Endpoint.GET, **by).get("data")
        return [item for item in _objects(items) if item.get("id") == self.id]

    def outcome(self, endpoint: Endpoint, id_: str) -> bool | None:
        """What Velt says became of it; None when it doesn't say."""
        entries = {"notifications": [{"id": id_, "readByUserIds": [self.user]}]}
        data = self.ask(
            endpoint, **(entries if endpoint is Endpoint.UPDATE else {"notificationIds": [id_]})
        ).get("data")
        said = data.get(id_) if isinstance(data, dict) else None
        return said.get("success") if isinstance(said, dict) else None

    def leftovers(self, *, until: Callable[[], bool]) -> list[str]:
        """Probes of runs that were killed, here and at Velt."""
        held = _until(until, self.add.store.scan())
        here = (record.notification for record in held if record.organization == self.organization)
        there: list[Any] = []
        with suppress(Unavailable, VeltRefused):
            found = self.ask(Endpoint.GET, documentId=self.document).get("data")
            there = [item.get("id") for item in _objects(found)]
        return sorted({id_ for id_ in (*there, *here) if is_stale(id_)})

    def remove(self, ids: list[str]) -> None:
        request = {"organizationId": self.organization, "notificationIds": ids}
        self.delete(request, Deadline.after(_CALL_SECONDS), self.audit())

    def take_away(self) -> Left:
        """Content first, then Velt's record; tried for a while. Does nothing to what isn't there."""
        deadline = Deadline.after(_PATIENT_SECONDS)
        self._remove()
        while not (left := self._left()).settled and deadline.remaining() > 0:
            time.sleep(_LOOK_SECONDS)
            if left.held is not False or (left.at_velt and not left.waiting):
                self._remove()
            self._tell_what_waits()
        return left

    def _remove(self) -> None:
        with suppress(ResolverError):
            self.remove([self.id])
            return
        # Whatever stood in the way of ours, Velt's own copy needn't stay for it.
        with suppress(ResolverError):
            self.ask(Endpoint.DELETE, notificationIds=[self.id])

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
        """The other ids too: a Velt that makes what an update names has it now."""
        items = self.ask(Endpoint.GET, documentId=self.document, notificationIds=self.rows).get("data")
        found = {item.get("id") for item in _objects(items)}
        if others := [id_ for id_ in self.rows[1:] if id_ in found]:
            self.ask(Endpoint.DELETE, notificationIds=others)
        return not found.isdisjoint(self.rows)

    def _tell_what_waits(self) -> None:
        """Of this probe alone; what a worker has in hand is left to it."""
        outbox = self.add.outbox
        queue = queue_of(self.keyspace.record(self.organization, self.id))
        with suppress(Unavailable):
            while claimed := outbox.claim(queue):
                if not self._told(claimed):
                    return

    def _told(self, claimed: Claim) -> bool:
        sender = self.delete.sender
        if claimed.command is None:
            return False
        try:
            sender.send(claimed.command, Deadline.after(_CALL_SECONDS))
        except VeltUnreachable:
            sender.release(claimed)
            return False
        except VeltRefused as refusal:
            if refusal.status in CREDENTIALS:
                sender.release(claimed)
                return False
        sender.complete(claimed)
        return True


def words_in(answer: Any) -> list[str]:
    """Those of the content that an answer of Velt's holds, wherever in it and however they are written."""
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
