"""Delivery: what the SDK's data-provider callbacks read and delete, for one person or a trusted backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress

from resolver import aside
from resolver.access.callers import Backend
from resolver.access.claims import EndUser
from resolver.access.documents import Documents
from resolver.access.policy import (
    DeletePolicy,
    Deletion,
    ReadPolicy,
    Verdict,
    deletion,
    judge,
    without,
)
from resolver.audit.attempt import Attempt
from resolver.audit.event import Outcome
from resolver.command import Entry, Place
from resolver.deadline import Deadline
from resolver.errors import PermissionDenied, Unauthenticated
from resolver.header import Traces
from resolver.notifications.telling import removal
from resolver.record import Opened, Record
from resolver.vault.cluster import Values
from resolver.vault.revocations import Extent, Revocations
from resolver.vault.store import Changed, Vault

Reader = EndUser | Backend
Found = Mapping[str, Opened]
"""By id."""


@dataclass(frozen=True, slots=True)
class Delivery:
    vault: Vault
    revocations: Revocations
    read_policy: ReadPolicy
    delete_policy: DeletePolicy
    documents: Documents

    def read(
        self,
        reader: Reader,
        organization: str,
        notifications: Sequence[str],
        deadline: Deadline,
        attempt: Attempt,
    ) -> Found:
        """What this reader may see of these. Whatever isn't in it is not distinguished: unknown, expired,
        forbidden and in another organization are all simply absent. Raises Unauthenticated when the reader's
        token is revoked everywhere."""
        held = self._held(reader, organization, notifications)
        if held is None:
            attempt.record("denied", organization, absent=len(notifications))
            return {}
        given = self._given(reader, held, deadline)
        _on_record(attempt, organization, held, given, len(notifications))
        return given

    def require_honoured(self, reader: Reader) -> None:
        """For a call that opens nothing: Unauthenticated when the reader's token is revoked everywhere."""
        if isinstance(reader, EndUser):
            self._opens(reader, "")

    def explain(
        self, person: EndUser, organization: str, notification: str, deadline: Deadline
    ) -> Verdict | None:
        """Why this person does or doesn't get it: for operators alone. None when nothing is held."""
        held = self.vault.open(organization, [notification])
        return next(iter(self._judged(person, held, deadline)), None)

    def delete(self, reader: Reader, organization: str, notification: str, attempt: Attempt) -> None:
        """Idempotent, and silent about what it did: an answer that differs would tell what is held. The SDK
        tells Velt itself; only a registration that still waits is cancelled, or followed by a removal."""
        unless_told = Entry(removal(notification, {"organizationId": organization}), Place.IF_WAITING)
        if isinstance(reader, Backend):
            attempt.record(organization=organization, ids=[notification])
            self.vault.remove(organization, notification, unless_told)
            return
        is_open = self._opens(reader, organization)
        if self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        if is_open:
            change = partial(self._after, reader, unless_told, attempt)
            if self.vault.change(organization, notification, change) is None:
                attempt.record(organization=organization, absent=1)
        else:
            attempt.record("denied", organization, absent=1)

    def _held(self, reader: Reader, organization: str, notifications: Sequence[str]) -> Found | None:
        """None when the reader's token doesn't open this organization. What revokes tokens is looked up in
        the round trip of the records."""
        if isinstance(reader, Backend):
            return self.vault.open(organization, notifications)
        if organization not in reader.organizations:
            self._opens(reader, organization)
            return None
        marks = self.revocations.names(reader.user, organization)
        with aside.offered(self.read_policy != "document"):
            held, values = self.vault.open_beside(organization, notifications, marks)
        return held if self._is_honoured(reader, marks, values) else None

    def _opens(self, person: EndUser, organization: str) -> bool:
        """Whether their token opens this organization; Unauthenticated when it opens nothing any more."""
        marks = self.revocations.names(person.user, organization)
        is_honoured = self._is_honoured(person, marks, self.revocations.values(marks))
        return is_honoured and organization in person.organizations

    def _is_honoured(self, person: EndUser, marks: Sequence[str], values: Values) -> bool:
        extent = self.revocations.extent(marks, values, person.issued_at)
        if extent is Extent.EVERYWHERE:
            raise Unauthenticated()
        return extent is Extent.NOWHERE

    def _given(self, reader: Reader, held: Found, deadline: Deadline) -> Found:
        if isinstance(reader, Backend):
            return held
        reads = [why.reads for why in self._judged(reader, held, deadline)]
        return held if all(reads) else dict(compress(held.items(), reads))

    def _judged(self, person: EndUser, held: Found, deadline: Deadline) -> list[Verdict]:
        """In the order of what is held."""
        traces, policy = Traces.of(person.user), self.read_policy
        if policy != "document":
            return [judge(traces, header, policy) for header, _ in held.values()]
        near = [Record.of(*it) for it in held.values() if judge(traces, it[0], policy) is not Verdict.HIDDEN]
        found = self.documents.judge(person, near, deadline)
        return [
            judge(traces, header, policy, by_document=found.get(id_, Verdict.NO_DOCUMENT_ACCESS))
            for id_, (header, _) in held.items()
        ]

    def _after(self, person: EndUser, unless_told: Entry, attempt: Attempt, record: Record) -> Changed:
        effect = deletion(person, record, self.delete_policy)
        outcome: Outcome = "denied" if effect is Deletion.NOTHING else "ok"
        attempt.record(outcome, record.organization, [record.notification], effect=effect.name.lower())
        match effect:
            case Deletion.REMOVES:
                return None, unless_told
            case Deletion.LEAVES:
                return without(person.user, record), None
            case Deletion.NOTHING:
                return record, None


def _on_record(
    attempt: Attempt, organization: str, held: Collection[str], given: Collection[str], asked: int
) -> None:
    ids = list(given)
    denied = [id_ for id_ in held if id_ not in given] if len(given) < len(held) else []
    outcome: Outcome = "denied" if denied and not ids else "ok"
    attempt.record(outcome, organization, ids, denied, absent=asked - len(held))
