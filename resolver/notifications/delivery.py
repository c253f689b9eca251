"""Delivery: what the SDK's data-provider callbacks read and delete, for one person or a trusted backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resolver.access.callers import Backend
from resolver.access.policy import DeletePolicy, Deletion, ReadPolicy, deletion, may_read, without
from resolver.access.tokens import EndUser
from resolver.errors import PermissionDenied
from resolver.record import Record
from resolver.vault.store import Vault

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
        """Idempotent, and silent about what it did: an answer that differs would tell what is held."""
        if isinstance(reader, Backend):
            self.vault.remove(organization, [notification])
        elif self.delete_policy == "backend":
            raise PermissionDenied("Deleting is left to the backend here.")
        elif _belongs(reader, organization):
            self.vault.change(organization, notification, lambda record: self._after(reader, record))

    def _may_read(self, reader: Reader, record: Record) -> bool:
        return isinstance(reader, Backend) or may_read(reader, record, self.read_policy)

    def _after(self, person: EndUser, record: Record) -> Record | None:
        match deletion(person, record, self.delete_policy):
            case Deletion.REMOVES:
                return None
            case Deletion.LEAVES:
                return without(person, record)
            case Deletion.NOTHING:
                return record


def _belongs(reader: Reader, organization: str) -> bool:
    return isinstance(reader, Backend) or organization in reader.organizations
