"""Delivery: what the SDK's data-provider callbacks read and delete, for one person or a trusted backend."""

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
    judge,
    without,
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
"""What the document and the contexts of records decide, by the record's id."""


class Asked(NamedTuple):
    """What a read asks for."""

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
        asked: Asked,
        deadline: Deadline,
        audit: AuditContext,
        admit: Admit,
    ) -> Found:
        """What this reader may see of these. Whatever isn't in it is not distinguished: unknown, expired,
        forbidden and in another organization are all simply absent. Raises Unauthenticated when the reader's
        token is revoked everywhere, and what `admit` raises (`Vault.open`)."""
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
        """For a call that opens nothing: Unauthenticated when the reader's token is revoked everywhere."""
        if isinstance(reader, EndUser):
            self._opens(reader, "")

    def explain(
        self, person: EndUser, organization: str, notification: str, deadline: Deadline
    ) -> Verdict | None:
        """Why this person does or doesn't get it: for operators alone. None when nothing is held."""
        record = self.store.read(organization, [notification]).get(notification)
        if record is None:
            return None
        by_document = self._by_document(person, [record], deadline) if self.read_policy == "document" else {}
        found = by_document.get(notification, Verdict.NO_DOCUMENT_ACCESS)
        return judge(person.user, record, self.read_policy, found)

    def delete(self, reader: Reader, organization: str, notification: str, audit: AuditContext) -> None:
        """Idempotent, and silent about what it did: an answer that differs would tell what is held. The SDK
        tells Velt itself; only a registration that still waits is cancelled, or followed by a removal."""
        unless_told = Entry(removal(notification, {"organizationId": organization}), Place.REPLACE_IF_QUEUED)
        if isinstance(reader, Backend):
            audit.record(organization=organization, ids=[notification])
            self.store.remove(organization, notification, unless_told)
            return
        is_open = self._opens(reader, organization)
        if self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        if is_open:
            change = partial(self._after, reader, unless_told, audit)
            if self.store.change(organization, notification, change) is None:
                audit.record(organization=organization, absent=1)
        else:
            audit.record("denied", organization, absent=1)

    def _by_document(self, person: EndUser, records: Iterable[Record], deadline: Deadline) -> ByDocument:
        """What the document and the contexts of each record decide; records that this person dismissed are
        not asked about."""
        return self.documents.judge(
            person, [record for record in records if person.user not in record.dismissed_by], deadline
        )

    def _held(
        self, person: EndUser, asked: Asked, deadline: Deadline, admit: Admit
    ) -> tuple[Iterable[tuple[str, Opened]], ByDocument] | None:
        """Records that are held, and what their documents decide under the policy `document`. None when this
        person's token doesn't open the organization. What revokes tokens is looked up in the round trip of
        the records."""
        if asked.organization not in person.organizations:
            self._opens(person, asked.organization)
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

    def _opens(self, person: EndUser, organization: str) -> bool:
        """Whether their token opens this organization; Unauthenticated when it opens nothing any more."""
        marks = self.revocations.names(person.user, organization)
        is_honoured = self._is_honoured(person, marks, self.revocations.values(marks))
        return is_honoured and organization in person.organizations

    def _is_honoured(self, person: EndUser, marks: Sequence[str], values: Values) -> bool:
        if values.count(None) == len(values):
            return True  # without a mark; an empty one is a mark that doesn't open
        extent = self.revocations.extent(marks, values, person.issued_at)
        if extent is Extent.EVERYWHERE:
            raise Unauthenticated()
        return extent is Extent.NOWHERE

    def _after(self, person: EndUser, unless_told: Entry, audit: AuditContext, record: Record) -> Changed:
        effect = deletion(person, record, self.delete_policy)
        outcome: Outcome = "denied" if effect is Deletion.NOTHING else "ok"
        audit.record(outcome, record.organization, [record.notification], effect=effect.name.lower())
        match effect:
            case Deletion.REMOVES:
                return None, unless_told
            case Deletion.LEAVES:
                return without(person.user, record), None
            case Deletion.NOTHING:
                return record, None
