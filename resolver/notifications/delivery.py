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
from resolver.errors import PermissionDenied
from resolver.header import Traces
from resolver.notifications.telling import removal
from resolver.record import Opened, Record
from resolver.vault.store import Changed, Vault

Reader = EndUser | Backend
Found = Mapping[str, Opened]
"""By id."""


@dataclass(frozen=True, slots=True)
class Delivery:
    vault: Vault
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
        forbidden and in another organization are all simply absent."""
        if not _belongs(reader, organization):
            attempt.record("denied", organization, absent=len(notifications))
            return {}
        with aside.offered(self.read_policy != "document"):
            held = self.vault.open(organization, notifications)
        given = self._given(reader, held, deadline)
        _on_record(attempt, organization, held, given, len(notifications))
        return given

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
        elif self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        elif _belongs(reader, organization):
            change = partial(self._after, reader, unless_told, attempt)
            if self.vault.change(organization, notification, change) is None:
                attempt.record(organization=organization, absent=1)
        else:
            attempt.record("denied", organization, absent=1)

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
                return without(person, record), None
            case Deletion.NOTHING:
                return record, None


def _on_record(
    attempt: Attempt, organization: str, held: Collection[str], given: Collection[str], asked: int
) -> None:
    ids = list(given)
    denied = [id_ for id_ in held if id_ not in given] if len(given) < len(held) else []
    outcome: Outcome = "denied" if denied and not ids else "ok"
    attempt.record(outcome, organization, ids, denied, absent=asked - len(held))


def _belongs(reader: Reader, organization: str) -> bool:
    return isinstance(reader, Backend) or organization in reader.organizations
