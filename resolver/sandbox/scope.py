"""Which notifications a user or a request reaches."""

from dataclasses import dataclass

from resolver.sandbox.access import Access
from resolver.sandbox.records import Record
from resolver.sandbox.replies import invalid
from resolver.sandbox.validation import Fields, text


def is_addressed(record: Record, user_id: str, access: Access) -> bool:
    """Whether the user is a recipient, by name or as one of everyone, and was admitted when it was added."""
    if user_id in record.gone:
        return False
    everyone = record.is_for_everyone and access.is_member(record.organization_id, user_id)
    named = user_id in record.people
    return (named or everyone) and (record.admitted is None or user_id in record.admitted)


def receives(record: Record, user_id: str, access: Access) -> bool:
    return is_addressed(record, user_id, access) and matches_context(record, user_id, access)


def sees(record: Record, user_id: str, access: Access) -> bool:
    """Whether the user sees it in any tab. Velt's "Documents" and "All" tabs also show notifications to
    others in a document that the user can open."""
    opens = (
        access.can_open(record.organization_id, record.document_id, user_id) and user_id not in record.gone
    )
    addressed = is_addressed(record, user_id, access)
    return (opens or addressed) and matches_context(record, user_id, access)


def is_for_you(record: Record, user_id: str, access: Access) -> bool:
    """Whether it is in the user's "For You" tab. Reading removes it, unless the read persists."""
    return receives(record, user_id, access) and record.read.get(user_id, True)


def matches_context(record: Record, user_id: str, access: Access) -> bool:
    return access.matches_context(record.organization_id, user_id, record.context)


@dataclass(frozen=True)
class Scope:
    """The part of an organization that an update, a get or a deletion is limited to."""

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
    """Check a location id. Velt documents a string for REST and a number for its SDK: both are accepted."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise invalid(f"{path} must be a string or a number")
    return str(value)
