"""Policies: who may read a notification, and what a person's deletion does. Pure decisions on the header."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from msgspec.structs import replace

from resolver.auth.claims import EndUser
from resolver.errors import Unavailable
from resolver.store.record import Header, Record

ReadPolicy = Literal["recipient", "document", "organization"]
DeletePolicy = Literal["recipient", "actor", "backend"]
"""`backend` is never judged here: end users' deletions are refused before."""
_DELETION_JUDGED_AS: ReadPolicy = "recipient"
"""Names decide under every read policy: members of an organization may read what they may not delete."""
_MAX_DISMISSALS = 1000
_MAX_DISMISSAL_BYTES = 64 * 1024
"""Limit of `dismissed_by` in bytes: every read of the record opens all of it."""


class Verdict(Enum):
    """Whether a person may read a notification, and why: for operators, never in a reply."""

    ACTOR = True, "it is their own action"
    ADDRESSED = True, "it is addressed to them"
    EVERYONE = True, "it is addressed to everyone in the organization"
    ORGANIZATION = True, "everyone in the organization reads under this policy"
    SEES_DOCUMENT = True, "they may see the document, and every field of context.access"
    DISMISSED = False, "they dismissed it, by deleting it"
    NOT_ADDRESSED = False, "it is not addressed to them"
    NARROWED = False, "it is not addressed to them by name, and context.access restricts its other readers"
    UNVERIFIED = (
        False,
        "it is not addressed to them by name, and verifyUserPermissions restricts its other readers",
    )
    NO_DOCUMENT_ACCESS = False, "neither the token nor the Permission Provider grants them the document"
    NO_CONTEXT_ACCESS = (
        False,
        "they may see the document, but the Permission Provider did not grant every field of context.access",
    )

    def __init__(self, reads: bool, why: str) -> None:
        self.reads = reads
        self.why = why
        """For operators."""


class Deletion(Enum):
    """Effect of a person's deletion; the audit trail has these names in lower case."""

    REMOVES = "the record is removed"
    LEAVES = "the person dismisses it"
    NOTHING = "nothing changes"


def judge(
    user: str,
    header: Header,
    policy: ReadPolicy,
    by_document: Verdict = Verdict.NO_DOCUMENT_ACCESS,
) -> Verdict:
    """Decide whether this user may read a record of one of their organizations. `by_document` is the verdict
    of `Documents`, for the policy `document`."""
    if user in header.dismissed_by:
        return Verdict.DISMISSED
    if policy == "document":
        return by_document
    if policy == "organization":
        return Verdict.ORGANIZATION
    # Names decide first. `context.access` and `verifyUserPermissions` only restrict "everyone".
    if user == header.actor:
        return Verdict.ACTOR
    if user in header.audience:
        return Verdict.ADDRESSED
    if not header.everyone:
        return Verdict.NOT_ADDRESSED
    if header.narrowed:
        return Verdict.NARROWED
    return Verdict.UNVERIFIED if header.verified else Verdict.EVERYONE


def deletion(person: EndUser, record: Record, policy: DeletePolicy) -> Deletion:
    """Decide what a person's deletion does. It never removes a record that is addressed to others as well."""
    if record.organization not in person.organizations:
        return Deletion.NOTHING
    if person.user == record.actor:
        return Deletion.REMOVES
    if policy == "actor" or not judge(person.user, record, _DELETION_JUDGED_AS).reads:
        return Deletion.NOTHING
    if not record.everyone and record.addressees() == {person.user}:
        return Deletion.REMOVES
    return Deletion.LEAVES


def dismiss(user: str, record: Record) -> Record:
    """Return the record after this person dismissed it. Raises Unavailable when `dismissed_by` is full."""
    dismissed_by = record.dismissed_by if user in record.dismissed_by else (*record.dismissed_by, user)
    is_long = record.everyone and len(dismissed_by) > _MAX_DISMISSALS
    if len(dismissed_by) > len(record.dismissed_by) and (
        is_long or sum(map(_size, dismissed_by)) > _MAX_DISMISSAL_BYTES
    ):
        raise Unavailable()
    audience = tuple(named for named in record.audience if named != user)
    return replace(record, audience=audience, dismissed_by=dismissed_by)


def _size(user: str) -> int:
    return len(user.encode())
