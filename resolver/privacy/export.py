"""Export everything stored about a person, one JSON object per line, without other people's data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from resolver.outbox.queue import Outbox
from resolver.privacy.commands import people_fields
from resolver.privacy.erasure_request import ErasureRequest
from resolver.privacy.erasure_store import ErasureStore
from resolver.privacy.people import Subject, folded, names_in, people_in, redacted_fields, roles
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
        """Yield the export's objects, and None for each other record examined, so that the caller can show
        progress. Empty `organizations` stands for all. The last object has the number found and whether the
        export is complete. All records are read twice: one may show that a bare id in another is a person."""
        unreadable = self.store.unreadable
        known: set[str] = set()
        for record in in_time_slices(self.store.scan()):
            known |= names_in(record)
            yield None
        # The first pass counts unreadable records, each once; the second counts commands and marks.
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
        "content": redacted_fields(record.parsed_content(), people),
        "backendOnly": redacted_fields(dict(record.private), people),
    }


def _command(kind: str, data: JSON, subject: Subject, known: Set[str]) -> JSON | None:
    """Describe a queued command or a dead letter. It holds only ids."""
    held = people_fields(data)
    people = people_in(held, subject, known | names_in(held))
    if not roles(held, people):
        return None
    return {"type": "command", "kind": kind, "data": redacted_fields(data, people)}


def _erasure(request: ErasureRequest, subject: Subject, organizations: frozenset[str]) -> JSON | None:
    """Describe an open erasure of this person. It may name others, who are left out."""
    users = [user for user in request.users if folded(user) in subject.ids()]
    emails = [email for email in request.emails if email.lower() in subject.ids()]
    bounds = frozenset(request.organizations)
    elsewhere = organizations and bounds and organizations.isdisjoint(bounds)
    if elsewhere or not (users or emails):
        return None
    return {
        "type": "erasure",
        "erasureId": request.id,
        "askedAt": request.asked,
        "status": request.phase,
        "organizationIds": sorted(bounds & organizations if organizations else bounds),
        "userIds": users,
        "emails": emails,
    }


def _revocation(mark: Mark, subject: Subject, organizations: frozenset[str]) -> JSON | None:
    """Describe a revocation of the person's tokens. One without an organization applies in each."""
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
    """Yield the audit entries of what the person did and of tokens minted for them, and the numbers of
    entries that can't be parsed. Lines without an entry are skipped: a log may share the file."""
    for number, line in enumerate(lines, 1):
        if b'"audit"' not in line:
            continue
        try:
            if entry := _entry_about(line, subject.ids()):
                yield {"type": "audit", **entry}
        except (ValueError, TypeError, RecursionError):
            yield number


def _entry_about(line: bytes, ids: frozenset[str]) -> JSON | None:
    """Raises ValueError or TypeError if the line is not an entry."""
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
