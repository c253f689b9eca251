"""The part of an organization that an update, a get or a deletion is limited to."""

from dataclasses import dataclass

from resolver.sandbox.access import Access
from resolver.sandbox.audience import receives
from resolver.sandbox.errors import invalid
from resolver.sandbox.records import Record
from resolver.sandbox.validation import Fields, text


@dataclass(frozen=True)
class Scope:
    organization_id: str
    document_id: str | None
    location_id: str | None
    user_id: str | None

    @classmethod
    def read(cls, data: Fields) -> "Scope":
        return cls(
            organization_id=data.required("organizationId", text),
            document_id=data.optional("documentId", text),
            location_id=data.optional("locationId", location),
            user_id=data.optional("userId", text),
        )

    def holds(self, record: Record, access: Access) -> bool:
        return (
            self.document_id in (None, record.document_id)
            and self.location_id in (None, record.location_id)
            and (self.user_id is None or receives(record, self.user_id, access))
        )


def location(value: object, path: str) -> str:
    """Velt's REST pages call a location id a string, its SDK types a number: both are taken."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise invalid(f"{path} must be a string or a number")
    return str(value)
