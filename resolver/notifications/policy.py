"""What a person may read and why, and what their deletion does: pure decisions on a record's header."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from msgspec.structs import replace

from resolver.auth.claims import EndUser
from resolver.errors import Unavailable
from resolver.store.record import Header, Record

ReadPolicy = Literal["recipient", "document", "organization"]
DeletePolicy = Literal["recipient", "actor", "backend"]
"""`backend` never gets here: an end user's call is refused before anything is looked up."""
_MOST_DISMISSALS = 1000
_LARGEST_DISMISSALS = 64 * 1024
"""Of a record's list of people who took themselves out, in bytes: a read of the record opens all of it."""


class Verdict(Enum):
    """Whether somebody reads a notification, and why. Callers are never told which."""

    ACTOR = True, "it is their own action"
    ADDRESSED = True, "it is addressed to them"
    EVERYONE = True, "it is addressed to everyone in the organization"
    ORGANIZATION = True, "everyone in the organization reads under this policy"
    SEES_DOCUMENT = True, "they may see the document, and every context that narrows it"
    DISMISSED = False, "they took themselves out of it, by deleting it"
    NOT_ADDRESSED = False, "it is not addressed to them"
    NARROWED = False, "it is not addressed to them by name, and context.access narrows who else is meant"
    UNVERIFIED = (
        False,
        "it is not addressed to them by name, and verifyUserPermissions narrows who else is meant",
    )
    NO_DOCUMENT_ACCESS = False, "nobody said that they may see the document"
    NO_CONTEXT_ACCESS = (
        False,
        "they may see the document, but the Permission Provider did not grant every field of context.access",
    )

    def __init__(self, reads: bool, why: str) -> None:
        self.reads = reads
        self.why = why
        """In an operator's words."""


class Deletion(Enum):
    REMOVES = "the record goes"
    LEAVES = "the person is taken out of its audience"
    NOTHING = "nothing changes"


def judge(
    user: str,
    header: Header,
    policy: ReadPolicy,
    by_document: Verdict = Verdict.NO_DOCUMENT_ACCESS,
) -> Verdict:
    """Decide whether this user reads a record of one of their organizations. `by_document` is what
    `Documents` found, for the policy of that name."""
    if user in header.dismissed_by:
        return Verdict.DISMISSED
    if policy == "document":
        return by_document
    if policy == "organization":
        return Verdict.ORGANIZATION
    # Names decide first. `context.access` and `verifyUserPermissions` narrow who else "everyone" means.
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
    """Proportional: nobody destroys what others were also sent."""
    if record.organization not in person.organizations:
        return Deletion.NOTHING
    if person.user == record.actor:
        return Deletion.REMOVES
    if policy == "actor" or not judge(person.user, record, "recipient").reads:
        return Deletion.NOTHING
    if not record.everyone and record.addressees() == {person.user}:
        return Deletion.REMOVES
    return Deletion.LEAVES


def without(user: str, record: Record) -> Record:
    """The record after this person was taken out of its audience. Unavailable when its list of such people is
    full: then nobody more can be."""
    dismissed_by = record.dismissed_by if user in record.dismissed_by else (*record.dismissed_by, user)
    is_long = record.everyone and len(dismissed_by) > _MOST_DISMISSALS
    if len(dismissed_by) > len(record.dismissed_by) and (
        is_long or sum(map(_size, dismissed_by)) > _LARGEST_DISMISSALS
    ):
        raise Unavailable()
    audience = tuple(named for named in record.audience if named != user)
    return replace(record, audience=audience, dismissed_by=dismissed_by)


def _size(user: str) -> int:
    return len(user.encode())
