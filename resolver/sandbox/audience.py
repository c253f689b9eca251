"""Who a notification is for, and who gets to see it."""

from resolver.sandbox.access import Access
from resolver.sandbox.records import Record


def is_addressed(record: Record, user_id: str, access: Access) -> bool:
    """Named, or one of everyone; and admitted, when permissions were verified as it was added."""
    if user_id in record.gone:
        return False
    everyone = record.is_for_everyone and access.is_member(record.organization_id, user_id)
    named = user_id in record.people
    return (named or everyone) and (record.admitted is None or user_id in record.admitted)


def receives(record: Record, user_id: str, access: Access) -> bool:
    return is_addressed(record, user_id, access) and matches_context(record, user_id, access)


def sees(record: Record, user_id: str, access: Access) -> bool:
    """Velt's "Documents" and "All" tabs also show what others were sent in a document one can open."""
    opens = (
        access.can_open(record.organization_id, record.document_id, user_id) and user_id not in record.gone
    )
    addressed = is_addressed(record, user_id, access)
    return (opens or addressed) and matches_context(record, user_id, access)


def is_for_you(record: Record, user_id: str, access: Access) -> bool:
    """Reading takes a notification out of "For You", unless the read was asked to persist there."""
    return receives(record, user_id, access) and record.read.get(user_id, True)


def matches_context(record: Record, user_id: str, access: Access) -> bool:
    return access.matches_context(record.organization_id, user_id, record.context)
