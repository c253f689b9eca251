"""Read and dismiss: the data provider endpoints' use cases, for one person or a trusted backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from resolver.audit.event import Outcome
from resolver.audit.trail import AuditContext
from resolver.auth.callers import Backend
from resolver.auth.claims import EndUser
from resolver.deadline import Deadline
from resolver.errors import PermissionDenied, Unauthenticated
from resolver.notifications.document_access import Documents
from resolver.notifications.policy import (
    DeletePolicy,
    Deletion,
    ReadPolicy,
    Verdict,
    deletion,
    dismiss,
    judge,
)
from resolver.outbox.sender import removal
from resolver.store.command import Entry, Place
from resolver.store.multiplexed import Admit, Values
from resolver.store.record import Opened, Record, opened
from resolver.store.records import Changed, RecordStore
from resolver.store.revocations import Extent, Revocations

Reader = EndUser | Backend
Found = Mapping[str, bytes]
"""The content of notifications, by id."""
ByDocument = Mapping[str, Verdict]
"""Verdicts by document and context, by the record's id."""


class ReadRequest(NamedTuple):
    """The arguments of a read."""

    organization: str
    notifications: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReadNotifications:
    store: RecordStore
    revocations: Revocations
    read_policy: ReadPolicy
    delete_policy: DeletePolicy
    documents: Documents

    def read(
        self,
        reader: Reader,
        asked: ReadRequest,
        deadline: Deadline,
        audit: AuditContext,
        admit: Admit,
    ) -> Found:
        """Return the contents that this reader may see.

        Unknown, expired, forbidden, and in another organization are not distinguished: all are absent. Raises
        Unauthenticated when the reader's token is revoked everywhere, and what `admit` raises.
        """
        organization, notifications = asked
        given: dict[str, bytes] = {}
        denied: list[str] = []
        if isinstance(reader, Backend):
            records, _ = self.store.open(opened, organization, notifications, admit=admit)
            given = {id_: record.content for id_, record in records}
        else:
            held = self._held(reader, asked, deadline, admit)
            if held is None:
                audit.record("denied", organization, absent=len(notifications))
                return {}
            policy, (opened_records, by_document) = self.read_policy, held
            for id_, record in opened_records:
                found = by_document.get(id_, Verdict.NO_DOCUMENT_ACCESS)
                if judge(reader.user, record, policy, found).reads:
                    given[id_] = record.content
                else:
                    denied.append(id_)
        outcome: Outcome = "denied" if denied and not given else "ok"
        absent = len(notifications) - len(given) - len(denied)
        audit.record(outcome, organization, list(given), denied, absent=absent)
        return given

    def require_honoured(self, reader: Reader) -> None:
        """Raise Unauthenticated when the reader's token is revoked everywhere; for calls that read
        nothing."""
        if isinstance(reader, EndUser):
            self._may_access(reader, "")

    def explain(
        self, person: EndUser, organization: str, notification: str, deadline: Deadline
    ) -> Verdict | None:
        """Say why a person can or can't read a notification; None when it isn't held. Only for operators."""
        record = self.store.read(organization, [notification]).get(notification)
        if record is None:
            return None
        by_document = self._by_document(person, [record], deadline) if self.read_policy == "document" else {}
        found = by_document.get(notification, Verdict.NO_DOCUMENT_ACCESS)
        return judge(person.user, record, self.read_policy, found)

    def delete(self, reader: Reader, organization: str, notification: str, audit: AuditContext) -> None:
        """Delete or dismiss a notification, as the policy says.

        Idempotent, and the reply is always the same: a difference would reveal which notifications are held.
        The SDK calls Velt itself; here only a queued registration is replaced or followed by a removal.
        """
        removal_entry = Entry(
            removal(notification, {"organizationId": organization}), Place.REPLACE_IF_QUEUED
        )
        if isinstance(reader, Backend):
            audit.record(organization=organization, ids=[notification])
            self.store.remove(organization, notification, removal_entry)
            return
        is_open = self._may_access(reader, organization)
        if self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        if is_open:
            change = partial(self._apply_deletion, reader, removal_entry, audit)
            if self.store.change(organization, notification, change) is None:
                audit.record(organization=organization, absent=1)
        else:
            audit.record("denied", organization, absent=1)

    def _by_document(self, person: EndUser, records: Iterable[Record], deadline: Deadline) -> ByDocument:
        """Judge records by document and context, without those that this person dismissed."""
        return self.documents.judge(
            person, [record for record in records if person.user not in record.dismissed_by], deadline
        )

    def _held(
        self, person: EndUser, asked: ReadRequest, deadline: Deadline, admit: Admit
    ) -> tuple[Iterable[tuple[str, Opened]], ByDocument] | None:
        """Read records and, under the policy `document`, judge them; None when the person's token isn't for
        the organization, or is revoked there. Revocations are read in the same round trip."""
        if asked.organization not in person.organizations:
            self._may_access(person, asked.organization)
            return None
        marks = self.revocations.names(person.user, asked.organization)
        if self.read_policy != "document":
            held, values = self.store.open(opened, *asked, marks, admit=admit)
            return (held, {}) if self._is_honoured(person, marks, values) else None
        whole, values = self.store.open(Record.from_bytes, *asked, marks, admit=admit)
        if not self._is_honoured(person, marks, values):
            return None
        records = dict(whole)
        return records.items(), self._by_document(person, records.values(), deadline)

    def _may_access(self, person: EndUser, organization: str) -> bool:
        """Whether the person's token is valid for the organization. Raises Unauthenticated when it is revoked
        everywhere."""
        marks = self.revocations.names(person.user, organization)
        is_honoured = self._is_honoured(person, marks, self.revocations.values(marks))
        return is_honoured and organization in person.organizations

    def _is_honoured(self, person: EndUser, marks: Sequence[str], values: Values) -> bool:
        if values == [None] * len(marks):
            return True  # no mark; b"" is a mark that doesn't open
        extent = self.revocations.extent(marks, values, person.issued_at)
        if extent is Extent.EVERYWHERE:
            raise Unauthenticated()
        return extent is Extent.NOWHERE

    def _apply_deletion(
        self, person: EndUser, removal_entry: Entry, audit: AuditContext, record: Record
    ) -> Changed:
        effect = deletion(person, record, self.delete_policy)
        outcome: Outcome = "denied" if effect is Deletion.NOTHING else "ok"
        audit.record(outcome, record.organization, [record.notification], effect=effect.name.lower())
        match effect:
            case Deletion.REMOVES:
                return None, removal_entry
            case Deletion.LEAVES:
                return dismiss(person.user, record), None
            case Deletion.NOTHING:
                return record, None
