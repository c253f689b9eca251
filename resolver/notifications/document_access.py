"""Access to documents and contexts: by the token's claims (documents only), else by the Permission
Provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from resolver.auth.claims import EndUser
from resolver.auth.permission_provider import PermissionProvider, Question
from resolver.deadline import Deadline
from resolver.notifications.policy import Verdict
from resolver.store.record import Record
from resolver.validation.fields import is_identifier

_FOLDER_NAMES = ("parentFolderId", "folderId")


class _Needed(NamedTuple):
    """The grants that a record requires."""

    documents: list[Question]
    """Empty when the token grants the document."""
    contexts: list[Question]


@dataclass(frozen=True, slots=True)
class Documents:
    provider: PermissionProvider | None

    def judge(self, person: EndUser, records: Collection[Record], deadline: Deadline) -> dict[str, Verdict]:
        """Judge each record that names a document; returns verdicts by notification id. All records must be
        of one organization of this person's.

        A person may read a record when its document and every field of its context are granted. Being the
        actor or addressed by name replaces neither grant.
        """
        folders = _folders(records)
        needed = {
            record.notification: _needed(person, record, folders) for record in records if record.document
        }
        # Documents first, so that records without a context don't wait for those with many fields.
        questions = dict.fromkeys(question for each in needed.values() for question in each.documents)
        questions |= dict.fromkeys(question for each in needed.values() for question in each.contexts)
        granted = self.provider.granted(questions, deadline) if self.provider and questions else set()
        return {id_: _verdict(each, granted) for id_, each in needed.items()}


def _verdict(needed: _Needed, granted: set[Question]) -> Verdict:
    if not granted.issuperset(needed.documents):
        return Verdict.NO_DOCUMENT_ACCESS
    return Verdict.SEES_DOCUMENT if granted.issuperset(needed.contexts) else Verdict.NO_CONTEXT_ACCESS


def _needed(person: EndUser, record: Record, folders: Mapping[str, str]) -> _Needed:
    user, organization, document = person.user, record.organization, record.document
    asked = Question.about_document(user, organization, document, folders.get(document, ""))
    contexts = [Question.about_context(user, organization, *field) for field in record.access().items()]
    return _Needed([] if document in person.documents else [asked], contexts)


def _folders(records: Collection[Record]) -> dict[str, str]:
    """The folder of each document, from its newest record: the provider is asked once for each document."""
    in_order = sorted(records, key=lambda record: record.created)
    return {record.document: folder for record in in_order if (folder := _folder(record))}


def _folder(record: Record) -> str:
    """The folder in `metadata`, which only the backend writes; empty without a usable one."""
    metadata = record.private.get("metadata")
    found = [metadata.get(name) for name in _FOLDER_NAMES] if isinstance(metadata, dict) else []
    return next((str(folder) for folder in found if is_identifier(folder)), "")
