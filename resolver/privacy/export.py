"""Export: everything that is held about somebody, one JSON object a line, with nobody else's data in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from resolver.outbox.queue import Outbox
from resolver.privacy.commands import people_fields
from resolver.privacy.erasure_request import ErasureRequest
from resolver.privacy.erasure_store import ErasureStore
from resolver.privacy.people import Subject, fields_as_theirs, folded, names_in, people_in, roles
from resolver.store.record import Record
from resolver.store.records import RecordStore
from resolver.store.revocations import Mark, Revocations
from resolver.store.scan import in_time_slices

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    store: RecordStore
    outbox: Outbox
    erasure_store: ErasureStore
    revocations: Revocations

    def __call__(self, subject: Subject, organizations: frozenset[str]) -> Iterator[JSON | None]:
        """None for each record that was only looked at: whoever shows how far it is wants to count those too.
        Twice, since who is a person may be told by another record. Without organizations, in all of them. The
        last one says how much it was, and whether it is all."""
        unreadable = self.store.unreadable
        known: set[str] = set()
        for record in in_time_slices(self.store.scan()):
            known |= names_in(record)
            yield None
        # Of records by the first pass, which saw each once; of commands by the second, the only one.
        unreadable = self.store.unreadable - unreadable
        commands, marks = self.outbox.unreadable, self.revocations.unreadable
        found = 0
        for item in self._found(subject, organizations, known):
            found += item is not None
            yield item
        unreadable += self.outbox.unreadable - commands + self.revocations.unreadable - marks
        yield {"type": "end", "complete": not unreadable, "found": found, "unreadable": unreadable}

    def _found(
        self, subject: Subject, organizations: frozenset[str], known: Set[str]
    ) -> Iterator[JSON | None]:
        for record in in_time_slices(self.store.scan()):
            inside = not organizations or record.organization in organizations
            yield _notification(record, subject, known) if inside else None
        for name, data in self.outbox.commands():
            inside = not organizations or data.get("organizationId") in organizations
            if inside and (found := _command(name, data, subject, known)):
                yield found
        for state in self.erasure_store.under_way().values():
            if found := _erasure(ErasureRequest.from_state(state), subject, organizations):
                yield found
        for mark in self.revocations.scan():
            if found := _revocation(mark, subject, organizations):
                yield found


def _notification(record: Record, subject: Subject, known: Set[str]) -> JSON | None:
    people = people_in(record, subject, known)
    found = roles(record, people)
    if not found:
        return None
    return {
        "type": "notification",
        "organizationId": record.organization,
        "notificationId": record.notification,
        "documentId": record.document,
        "created": record.created,
        "roles": found,
        "toEveryone": record.everyone,
        "content": fields_as_theirs(record.parsed_content(), people),
        "backendOnly": fields_as_theirs(dict(record.private), people),
    }


def _command(kind: str, data: JSON, subject: Subject, known: Set[str]) -> JSON | None:
    """What Velt hasn't been told yet, or never was: ids alone."""
    held = people_fields(data)
    people = people_in(held, subject, known | names_in(held))
    if not roles(held, people):
        return None
    return {"type": "command", "kind": kind, "data": fields_as_theirs(data, people)}


def _erasure(order: ErasureRequest, subject: Subject, organizations: frozenset[str]) -> JSON | None:
    """One that was asked for, and is kept until it is done: with whom it names, who may be others as well."""
    users = [user for user in order.users if folded(user) in subject.ids()]
    emails = [email for email in order.emails if email.lower() in subject.ids()]
    bounds = frozenset(order.organizations)
    elsewhere = organizations and bounds and organizations.isdisjoint(bounds)
    if elsewhere or not (users or emails):
        return None
    return {
        "type": "erasure",
        "erasureId": order.id,
        "askedAt": order.asked,
        "status": order.phase,
        "organizationIds": sorted(bounds & organizations if organizations else bounds),
        "userIds": users,
        "emails": emails,
    }


def _revocation(mark: Mark, subject: Subject, organizations: frozenset[str]) -> JSON | None:
    """That their tokens were revoked. One that holds everywhere holds in each organization."""
    elsewhere = organizations and mark.organization and mark.organization not in organizations
    if elsewhere or folded(mark.user) not in subject.ids():
        return None
    return {
        "type": "revocation",
        "userId": mark.user,
        **({"organizationId": mark.organization} if mark.organization else {}),
        "revokedAt": mark.at_ms,
    }


def audit_entries(lines: Iterable[bytes], subject: Subject) -> Iterator[JSON | int]:
    """What somebody did, and tokens that were minted for them, out of the audit trail; and the numbers of the
    lines that should be entries and don't read. Other lines may be there: a log shares the file, perhaps."""
    for number, line in enumerate(lines, 1):
        if b'"audit"' not in line:
            continue
        try:
            if entry := _entry_about(line, subject.ids()):
                yield {"type": "audit", **entry}
        except (ValueError, TypeError, RecursionError):
            yield number


def _entry_about(line: bytes, ids: frozenset[str]) -> JSON | None:
    """ValueError or TypeError when it is no entry."""
    entry = json.loads(line)
    if not isinstance(entry, dict) or "audit" not in entry:
        return None
    who = entry.get("who", {})
    if not isinstance(who, dict):
        raise TypeError
    actor = who.get("id", "") if who.get("kind") == "user" else ""
    names = (actor, entry.get("user", ""))
    if not all(isinstance(name, str) for name in names):
        raise TypeError
    return entry if any(folded(name) in ids for name in names) else None
