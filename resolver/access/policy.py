"""What a person may read, and what their deletion does. Pure: a person and a record's header decide."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Literal

from resolver.access.tokens import EndUser
from resolver.errors import Unavailable
from resolver.record import Record

ReadPolicy = Literal["recipient", "organization"]
DeletePolicy = Literal["recipient", "actor", "backend"]
"""`backend` never gets here: an end user's call is refused before anything is looked up."""
_MOST_HIDDEN = 1000


class Deletion(Enum):
    REMOVES = "the record goes"
    LEAVES = "the person is taken out of its audience"
    NOTHING = "nothing changes"


def may_read(person: EndUser, record: Record, policy: ReadPolicy) -> bool:
    if record.organization not in person.organizations or person.user in record.hidden:
        return False
    return policy == "organization" or _meant_for(person.user, record)


def deletion(person: EndUser, record: Record, policy: DeletePolicy) -> Deletion:
    """Proportional: nobody destroys what others were also sent."""
    if record.organization not in person.organizations:
        return Deletion.NOTHING
    if person.user == record.actor:
        return Deletion.REMOVES
    if policy == "actor" or person.user in record.hidden or not _meant_for(person.user, record):
        return Deletion.NOTHING
    if not record.everyone and record.addressees() == {person.user}:
        return Deletion.REMOVES
    return Deletion.LEAVES


def without(person: EndUser, record: Record) -> Record:
    """The record after this person took themselves out of its audience."""
    if record.everyone and len(record.hidden) >= _MOST_HIDDEN:
        raise Unavailable()
    return replace(
        record,
        audience=tuple(user for user in record.audience if user != person.user),
        hidden=(*record.hidden, person.user),
    )


def _meant_for(user: str, record: Record) -> bool:
    return user == record.actor or user in record.audience or record.open_to_all()
