"""Add: store the sealed content, queue its registration in the same step, and try to send it at once."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson
from msgspec.structs import replace

from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.errors import AlreadyExists, InvalidArgument, NotRegistered, Overtaken, TooLarge, VeltRefused
from resolver.notifications.idempotency import IdempotencyKeys
from resolver.outbox.queue import Outbox, claim_of
from resolver.outbox.registration import Registrations
from resolver.outbox.sender import RESERVE_SECONDS, VeltSender, VeltUnreachable
from resolver.store.command import Command, Entry, Kind
from resolver.store.record import DROPPED, Record
from resolver.store.records import RecordStore, Written
from resolver.velt import requests
from resolver.velt.field_allow_list import PeopleMode, Split, split_add

JSON = dict[str, Any]
MAX_CONTENT_BYTES = 32 * 1024
# With the header, whose audience may be thousands of people. Every read of the notification opens all of it.
MAX_RECORD_BYTES = 3 * MAX_CONTENT_BYTES
_ADDED = "Notification added successfully."
_MAX_WARNINGS = 20
_WORD = re.compile(r"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_KEY = re.compile(r"[\x20-\x2b\x2d-\x7e]{1,255}")  # no comma: servers join two headers of one name with it


@dataclass(frozen=True, slots=True)
class AddNotification:
    store: RecordStore
    outbox: Outbox
    sender: VeltSender
    people: PeopleMode
    idempotency: IdempotencyKeys
    registrations: Registrations

    def __call__(
        self, data: Any, deadline: Deadline, audit: AuditContext, idempotency_key: str | None = None
    ) -> JSON:
        """Add a notification and return the reply.

        The id is derived from `idempotency_key` if there is one. Raises AlreadyExists or NotRegistered for a
        repeated key, VeltRefused when Velt refuses (the record is then rolled back), and TooLarge.
        """
        request = requests.parse(requests.ADD, data)
        request_digest = self._identify(request, data, audit.actor.id, idempotency_key)
        split = split_add(request, self.people)
        record = _record(request, split, request_digest)
        command = Command(Kind.REGISTER, record.notification, split.forward)
        audit.record(organization=record.organization, ids=[record.notification])
        with self.sender.inline_slot() as inline:
            # Content and command in one step, and before Velt knows the id: browsers may read from then on.
            written = self._put(record, self.sender.entry(command, inline))
            if written is None:
                return self._reply_again(record, request, split)
            answer = self._register(command, written, deadline) if written.claim else None
        if answer is None:
            self.sender.warn_if_no_worker()
        return _reply(answer, request, split)

    def _identify(self, request: JSON, data: Any, caller: str, key: str | None) -> str:
        """Give the request its id. Returns the request's digest when the id is derived from a key, else
        ""."""
        if key is None:
            request.setdefault("notificationId", mint_id())
            return ""
        if not _KEY.fullmatch(key):
            raise InvalidArgument(
                "Idempotency-Key must be one header of 1 to 255 printable ASCII characters without a comma"
            )
        if "notificationId" in request:
            raise InvalidArgument(
                "Give either notificationId or the Idempotency-Key header: the key makes the id"
            )
        identified = self.idempotency.identify(caller, request["organizationId"], key, data)
        request["notificationId"] = identified.notification
        return identified.request

    def _put(self, record: Record, entry: Entry) -> Written | None:
        """Store the record; None when the Idempotency-Key was used before."""
        return self.store.put_new(record, entry) if record.request else self.store.put(record, entry)

    def _reply_again(self, record: Record, request: JSON, split: Split) -> JSON:
        """Reply to a repeated request. The record isn't written: it may have been updated since."""
        found = self.registrations.of(record.organization, record.notification)
        if found is None:
            raise Overtaken()  # just removed: the next attempt adds it
        if found.was_refused or found.record.request == DROPPED:
            raise NotRegistered()
        if found.record.request != record.request:
            raise AlreadyExists()
        if found.is_undecided:
            raise Overtaken()  # the first request is in flight to Velt, and would be rolled back on a refusal
        self.store.make_durable(record.organization, record.notification)
        return _reply(None if found.waits else {"result": {}}, request, split)

    def _register(self, command: Command, written: Written, deadline: Deadline) -> JSON | None:
        """Send the registration. Returns Velt's answer, or None when the command stays queued."""
        claim = claim_of(written, command)
        try:
            answer = self.sender.send(command, deadline.reserve(RESERVE_SECONDS))
        except VeltUnreachable:
            self.sender.release(claim)
            return None
        except VeltRefused:
            self.outbox.roll_back(claim)
            raise
        self.sender.complete(claim)
        return answer


def mint_id() -> str:
    """144 random bits in the characters that Velt allows."""
    return secrets.token_urlsafe(18)


def looks_semantic(notification: str) -> bool:
    """Whether an id may reveal its subject: one of several parts is a word, as in `order-1042-shipped`. A
    UUID, a number, or random characters contain no word."""
    parts = re.split(r"[-_]+", notification)
    return len(parts) > 1 and any(_WORD.fullmatch(part) and not _HEX.fullmatch(part) for part in parts)


def ensure_fits(record: Record) -> None:
    if len(record.content) + len(orjson.dumps(record.private)) > MAX_CONTENT_BYTES:
        raise TooLarge(f"The content of one notification may be {MAX_CONTENT_BYTES} bytes at most.")
    # Without the people who dismissed it: that list has its own limit, and must not prevent an update.
    if len(replace(record, dismissed_by=()).to_bytes()) > MAX_RECORD_BYTES:
        raise TooLarge("notifyUsers are too many for one notification: use notifyAll.")


def audience_of(users: list[JSON]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(itemgetter("userId"), users)))


def _record(request: JSON, split: Split, request_digest: str) -> Record:
    record = Record(
        organization=request["organizationId"],
        notification=request["notificationId"],
        document=request["documentId"],
        actor=request["actionUser"]["userId"],
        audience=audience_of(request.get("notifyUsers", [])),
        everyone=request.get("notifyAll", True),
        verified=request.get("verifyUserPermissions", False),
        created=int(time.time() * 1000),
        request=request_digest,
        private=split.private,
        content=orjson.dumps(split.content),
    )
    ensure_fits(record)
    return record


def _reply(answer: JSON | None, request: JSON, split: Split) -> JSON:
    result = {"status": "success", "message": _ADDED, **(answer["result"] if answer else {})}
    given = result.get("data")
    data = {
        **(given if isinstance(given, dict) else {"success": True, "message": _ADDED}),
        "notificationId": request["notificationId"],
        "registration": "registered" if answer else "pending",
    }
    if warnings := _warnings(request, split):
        data["warnings"] = warnings
    return {"result": {**result, "data": data}}


def _warnings(request: JSON, split: Split) -> list[str]:
    warnings = [f"{name[:128]} was dropped: the name is reserved" for name in split.dropped]
    if "notifyAll" not in request:
        warnings.append("notifyAll is absent: Velt notifies everyone in the organization")
    return warnings[-_MAX_WARNINGS:]
