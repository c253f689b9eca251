"""Export: everything that is held about somebody, one JSON object a line, with nobody else's data in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from resolver.outbox.queue import Outbox
from resolver.privacy.people import Subject, fields_as_theirs, names_in, people_in, roles
from resolver.record import Record
from resolver.vault.store import Vault

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    vault: Vault
    outbox: Outbox

    def __call__(self, subject: Subject, organizations: frozenset[str]) -> Iterator[JSON | None]:
        """None for each record that was only looked at: whoever shows how far it is wants to count those too.
        Twice, since who is a person may be told by another record. Without organizations, in all of them. The
        last one says how much it was, and whether it is all."""
        unreadable = self.vault.unreadable
        known: set[str] = set()
        for record in self.vault.scan():
            known |= names_in(record)
            yield None
        unreadable = self.vault.unreadable - unreadable
        found = 0
        for item in self._found(subject, organizations, known):
            found += item is not None
            yield item
        yield {"type": "end", "complete": not unreadable, "found": found, "unreadable": unreadable}

    def _found(
        self, subject: Subject, organizations: frozenset[str], known: Set[str]
    ) -> Iterator[JSON | None]:
        for record in self.vault.scan():
            inside = not organizations or record.organization in organizations
            yield _notification(record, subject, known) if inside else None
        for name, data in self.outbox.commands():
            inside = not organizations or data.get("organizationId") in organizations
            if inside and (found := _command(name, data, subject, known)):
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
    """What Velt hasn't been told yet, or never was: ids alone. As a record, so that the same rules apply."""
    held = Record("", "", "", "", private=data)
    people = people_in(held, subject, known | names_in(held))
    if not roles(held, people):
        return None
    return {"type": "command", "kind": kind, "data": fields_as_theirs(data, people)}


def audit_entries(lines: Iterable[bytes], users: frozenset[str]) -> Iterator[JSON]:
    """What somebody did, and tokens that were minted for them, out of the audit trail."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or "audit" not in entry:
            continue
        who = entry.get("who", {})
        if (who.get("kind") == "user" and who.get("id") in users) or entry.get("user") in users:
            yield {"type": "audit", **entry}
