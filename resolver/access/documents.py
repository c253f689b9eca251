"""Who may see which document: the token may say so, else the team's Permission Provider is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resolver.access.claims import EndUser
from resolver.access.permissions import PermissionProvider, Question
from resolver.deadline import Deadline
from resolver.record import Record


@dataclass(frozen=True, slots=True)
class Documents:
    provider: PermissionProvider | None

    def seen_by(self, person: EndUser, records: Iterable[Record], deadline: Deadline) -> set[str]:
        """The ids of those among the records (all of an organization of theirs) whose document and context
        this person may see. What nobody vouches for isn't in it."""
        granted, asked = set(), {}
        for record in records:
            if _vouched_for(person, record):
                granted.add(record.notification)
            elif record.document:
                asked[record.notification] = _question(person, record)
        if asked and self.provider:
            yes = self.provider.granted(set(asked.values()), deadline)
            granted.update(id_ for id_, question in asked.items() if question in yes)
        return granted


def _vouched_for(person: EndUser, record: Record) -> bool:
    """By the token. It says nothing about contexts, so where one narrows, only who is meant by name."""
    named = person.user == record.actor or person.user in record.audience
    return record.document in person.documents and (named or not record.access())


def _question(person: EndUser, record: Record) -> Question:
    return Question.of(person.user, record.organization, record.document, record.access())
