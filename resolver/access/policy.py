"""What a person may read and why, and what their deletion does. Pure: a person and a record's header tell."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from resolver.access.claims import EndUser
from resolver.errors import Unavailable
from resolver.record import Record

ReadPolicy = Literal["recipient", "document", "organization"]
DeletePolicy = Literal["recipient", "actor", "backend"]
"""`backend` never gets here: an end user's call is refused before anything is looked up."""
_MOST_HIDDEN = 1000


class Verdict(Enum):
    """Whether somebody reads a notification, and why. Callers are never told which."""

    ACTOR = True, "it is their own action"
    ADDRESSED = True, "it is addressed to them"
    EVERYONE = True, "it is addressed to everyone in the organization"
    ORGANIZATION = True, "everyone in the organization reads under this policy"
    SEES_DOCUMENT = True, "they may see the document"
    FOREIGN = False, "they are not of this organization"
    HIDDEN = False, "they took themselves out of it, by deleting it"
    NOT_ADDRESSED = False, "it is not addressed to them"
    NARROWED = False, "it is not addressed to them by name, and context.access narrows who else is meant"
    UNVERIFIED = (
        False,
        "it is not addressed to them by name, and verifyUserPermissions narrows who else is meant",
    )
    NO_DOCUMENT_ACCESS = False, "nobody said that they may see the document"

    def __init__(self, reads: bool, why: str) -> None:
        self.reads = reads
        self.why = why
        """In an operator's words."""


class Deletion(Enum):
    REMOVES = "the record goes"
    LEAVES = "the person is taken out of its audience"
    NOTHING = "nothing changes"


def judge(person: EndUser, record: Record, policy: ReadPolicy, *, sees_document: bool = False) -> Verdict:
    if record.organization not in person.organizations:
        return Verdict.FOREIGN
    if person.user in record.hidden:
        return Verdict.HIDDEN
    match policy:
        case "recipient":
            return _as_recipient(person.user, record)
        case "document":
            return Verdict.SEES_DOCUMENT if sees_document else Verdict.NO_DOCUMENT_ACCESS
        case "organization":
            return Verdict.ORGANIZATION


def is_near(person: EndUser, record: Record) -> bool:
    """What every policy asks first: of the organization, and not gone from the audience."""
    return record.organization in person.organizations and person.user not in record.hidden


def deletion(person: EndUser, record: Record, policy: DeletePolicy) -> Deletion:
    """Proportional: nobody destroys what others were also sent."""
    if record.organization not in person.organizations:
        return Deletion.NOTHING
    if person.user == record.actor:
        return Deletion.REMOVES
    if policy == "actor" or person.user in record.hidden or not _as_recipient(person.user, record).reads:
        return Deletion.NOTHING
    if not record.everyone and record.addressees() == {person.user}:
        return Deletion.REMOVES
    return Deletion.LEAVES


def without(person: EndUser, record: Record) -> Record:
    """The record after this person took themselves out of its audience."""
    if record.everyone and len(record.hidden) >= _MOST_HIDDEN:
        raise Unavailable()
    return record._replace(
        audience=tuple(user for user in record.audience if user != person.user),
        hidden=(*record.hidden, person.user),
    )


def _as_recipient(user: str, record: Record) -> Verdict:
    if user == record.actor:
        return Verdict.ACTOR
    if user in record.audience:
        return Verdict.ADDRESSED
    if not record.everyone:
        return Verdict.NOT_ADDRESSED
    if record.access():
        return Verdict.NARROWED
    return Verdict.UNVERIFIED if record.verified else Verdict.EVERYONE
