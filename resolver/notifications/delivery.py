"""Delivery: what the SDK's data-provider callbacks read and delete, for one person or a trusted backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resolver.access.callers import Backend
from resolver.access.policy import DeletePolicy, Deletion, ReadPolicy, deletion, may_read, without
from resolver.access.tokens import EndUser
from resolver.command import Entry, Place
from resolver.errors import PermissionDenied
from resolver.notifications.telling import removal
from resolver.record import Record
from resolver.vault.store import Changed, Vault

Reader = EndUser | Backend


@dataclass(frozen=True, slots=True)
class Delivery:
    vault: Vault
    read_policy: ReadPolicy
    delete_policy: DeletePolicy

    def read(self, reader: Reader, organization: str, notifications: Sequence[str]) -> list[Record]:
        """What this reader may see of these. Whatever isn't in it is not distinguished: unknown, expired,
        forbidden and in another organization are all simply absent."""
        if not _belongs(reader, organization):
            return []
        held = self.vault.read(organization, notifications)
        return [record for record in held.values() if self._may_read(reader, record)]

    def delete(self, reader: Reader, organization: str, notification: str) -> None:
        """Idempotent, and silent about what it did: an answer that differs would tell what is held. The SDK
        tells Velt itself; only a registration that still waits is cancelled, or followed by a removal."""
        unless_told = Entry(removal(notification, {"organizationId": organization}), Place.IF_WAITING)
        if isinstance(reader, Backend):
            self.vault.remove(organization, notification, unless_told)
        elif self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        elif _belongs(reader, organization):
            self.vault.change(organization, notification, lambda r: self._after(reader, r, unless_told))

    def _may_read(self, reader: Reader, record: Record) -> bool:
        return isinstance(reader, Backend) or may_read(reader, record, self.read_policy)

    def _after(self, person: EndUser, record: Record, unless_told: Entry) -> Changed:
        match deletion(person, record, self.delete_policy):
            case Deletion.REMOVES:
                return None, unless_told
            case Deletion.LEAVES:
                return without(person, record), None
            case Deletion.NOTHING:
                return record, None


def _belongs(reader: Reader, organization: str) -> bool:
    return isinstance(reader, Backend) or organization in reader.organizations
