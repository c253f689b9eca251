"""Update: content is changed in the sealed record, structure is sent to Velt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson
from msgspec.structs import replace

from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.errors import InvalidArgument
from resolver.notifications.add import audience_of, ensure_fits
from resolver.notifications.policy import ReadPolicy
from resolver.outbox.queue import claim_of
from resolver.outbox.sender import RESERVE_SECONDS, VeltSender, VeltUnreachable
from resolver.store.command import Command, Kind
from resolver.store.record import Record
from resolver.store.records import RecordStore, Written
from resolver.velt import requests
from resolver.velt.client import VeltEndpoint
from resolver.velt.field_allow_list import PeopleMode, Split, split_update
from resolver.velt.schema import with_warnings

JSON = dict[str, Any]
_UPDATED = "Notification updated."
_FAILED = "Failed to update notification."
_MAX_WARNINGS, _MAX_NAMED = 20, 3
_PENDING: JSON = {"result": {"status": "success", "message": "Notification(s) updated successfully."}}


@dataclass(frozen=True, slots=True)
class _Change:
    """One entry of the request."""

    id: str
    entry: JSON
    split: Split

    @property
    def structure(self) -> bool:
        return self.split.forward.keys() > {"id"}

    @property
    def withheld(self) -> bool:
        """Whether it contains fields that may only be stored here."""
        return bool((self._kept_names() | self.entry.keys() & {"notifyAll"}) - self.split.forward.keys())

    @property
    def local(self) -> bool:
        return bool(self._kept_names() or self.entry.keys() & {"notifyUsers", "notifyAll"})

    @property
    def impossible(self) -> bool:
        """Whether no update can do any of what it requests."""
        asks = bool(self.split.stripped or self.split.dropped)
        return asks and not (self.structure or self.local)

    def _kept_names(self) -> Set[str]:
        return self.split.content.keys() | self.split.private.keys()

    def applied_to(self, record: Record, *, verified: bool) -> Record:
        """The changed record. `verified`: restrict it to people with access to the document."""
        content = orjson.dumps(_merged(record.parsed_content(), self.split.content))
        private = _merged(record.private, self.split.private)
        changed = replace(record, content=content, private=private, verified=record.verified or verified)
        if "actionUser" in self.entry:
            changed = replace(changed, actor=self.entry["actionUser"]["userId"])
        if "notifyUsers" in self.entry:
            # A person who dismissed it and is named again sees it again.
            audience = audience_of(self.entry["notifyUsers"])
            dismissed_by = tuple(user for user in record.dismissed_by if user not in audience)
            changed = replace(changed, audience=audience, dismissed_by=dismissed_by)
        if "notifyAll" in self.entry:
            changed = replace(changed, everyone=self.entry["notifyAll"])
            if not changed.everyone and not changed.addressees():
                raise InvalidArgument("notifyUsers is required when notifyAll is false and names no user")
        ensure_fits(changed)
        return changed


@dataclass(frozen=True, slots=True)
class _Changes:
    """All entries about one notification, in order. They are one write, so that the text of an entry can't be
    read before a later entry restricts the readers."""

    id: str
    entries: Sequence[_Change]

    @property
    def local(self) -> bool:
        return any(change.local for change in self.entries)

    @property
    def forwarded(self) -> list[JSON]:
        return [change.split.forward for change in self.entries if change.structure]

    def command(self, filters: JSON) -> Command:
        return Command(Kind.CHANGE, self.id, {**filters, "notifications": self.forwarded})

    def applied_to(self, record: Record, filters: JSON) -> Record:
        for change in self.entries:
            record = change.applied_to(record, verified=_verifies(filters, change))
        return record


_Tried = tuple[_Changes, Written]


@dataclass(frozen=True, slots=True)
class UpdateNotifications:
    store: RecordStore
    sender: VeltSender
    people: PeopleMode
    read_policy: ReadPolicy

    def __call__(self, data: Any, deadline: Deadline, audit: AuditContext) -> JSON:
        filters, entries = requests.parse_update(data)
        requested = [_Change(e["id"], e, split_update(e, self.people)) for e in entries]
        self._ensure_verifiable(filters, requested)
        changes = [change for change in requested if not change.impossible]
        held = self.store.read(filters["organizationId"], list({c.id: None for c in changes}))
        failed = {id_ for id_, record in held.items() if not record.matches(filters)}
        others = [change for change in changes if change.id not in held]
        ours = _by_notification(change for change in changes if change.id in held and change.id not in failed)
        for joint in ours:
            # Check all before storing any: if one is too large, the whole request changes nothing.
            joint.applied_to(held[joint.id], filters)
        meant = list({change.id: None for change in changes if change.id not in failed})
        audit.record(organization=filters["organizationId"], ids=meant, denied=sorted(failed))
        with self.sender.inline_slot() as inline:
            kept = [(joint, self._keep(joint, filters, inline)) for joint in ours]
            tried = [(joint, written) for joint, written in kept if written and written.claim]
            unheld = [change for change in others if change.structure or not change.withheld]
            answer = self._send(filters, tried, unheld, deadline)
        failed |= {joint.id for joint, written in kept if written is None}
        failed |= {change.id for change in others if change.withheld}
        failed |= {change.id for change in requested if change.impossible}
        return with_warnings(
            _result(answer, requested, held.keys() - failed, failed), _warnings(requested, failed)
        )

    def _ensure_verifiable(self, filters: JSON, changes: list[_Change]) -> None:
        """Refuse `verifyUserPermissions` without the document policy.

        Velt applies such an update only for people with access to the document. The other policies don't know
        them, and would show the new text to others.
        """
        if self.read_policy != "document" and any(_verifies(filters, change) for change in changes):
            raise InvalidArgument(
                "verifyUserPermissions can't be applied to text, audience or context under "
                f"RESOLVER_READ_POLICY={self.read_policy}: it requires RESOLVER_READ_POLICY=document"
            )

    def _keep(self, joint: _Changes, filters: JSON, inline: bool) -> Written | None:
        """Change the record and queue its structure for Velt; None when it was removed meanwhile."""
        entry = self.sender.entry(joint.command(filters), inline) if joint.forwarded else None
        organization = filters["organizationId"]
        if not joint.local and entry:
            return self.store.enqueue(organization, joint.id, entry)
        try:
            return self.store.change(
                organization, joint.id, lambda record: (joint.applied_to(record, filters), entry)
            )
        except InvalidArgument:
            # It was valid when checked: another writer has changed the record since.
            return None

    def _send(self, filters: JSON, tried: list[_Tried], others: list[_Change], deadline: Deadline) -> JSON:
        """Send in one call the commands that this request claimed, and the entries of notifications that
        aren't held here. Raises VeltUnreachable for the latter, which only Velt can answer."""
        forwarded = [forward for joint, _ in tried for forward in joint.forwarded]
        forwarded += [change.split.forward for change in others]
        if not forwarded:
            return _PENDING
        data = {**filters, "notifications": forwarded}
        claims = [claim_of(written, joint.command(filters)) for joint, written in tried]
        answer = self.sender.send_batch(VeltEndpoint.UPDATE, data, claims, deadline.reserve(RESERVE_SECONDS))
        if answer is None and others:
            raise VeltUnreachable("velt: not reached")
        return answer or _PENDING


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> JSON:
    """Merge by top-level key; an explicit null removes one."""
    kept = {name: value for name, value in stored.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _by_notification(changes: Iterable[_Change]) -> list[_Changes]:
    found: dict[str, list[_Change]] = {}
    for change in changes:
        found.setdefault(change.id, []).append(change)
    return [_Changes(id_, entries) for id_, entries in found.items()]


def _verifies(filters: JSON, change: _Change) -> bool:
    """Whether the change restricts the record to people with access to the document."""
    return bool(filters.get("verifyUserPermissions")) and change.local


def _warnings(changes: list[_Change], failed: Set[str]) -> list[str]:
    """Say which keys were ignored or dropped and why, in one line for each key."""
    ids: dict[tuple[str, str], dict[str, None]] = {}
    for change in changes:
        said = [
            (name, f"was ignored, as Velt's update ignores it: {do}")
            for name, do in change.split.stripped.items()
        ]
        said += [(name, "was dropped: the name is reserved") for name in change.split.dropped]
        if "notifyAll" in change.entry and change.id not in failed:
            said.append(("notifyAll", "was applied here and not sent: Velt's own row keeps its audience"))
        for line in said:
            ids.setdefault(line, {})[change.id] = None
    lines = [f"{name[:128]} of {_some(list(of))} {why}" for (name, why), of in ids.items()]
    more = len(lines) - _MAX_WARNINGS
    return [*lines[:_MAX_WARNINGS], f"{more} more keys were ignored or dropped"] if more > 0 else lines


def _some(ids: list[str]) -> str:
    named = ", ".join(f'"{id_}"' for id_ in ids[:_MAX_NAMED])
    return f"{named} and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else named


def _result(answer: JSON, changes: list[_Change], changed: Set[str], failed: Set[str]) -> JSON:
    result: JSON = answer["result"]
    from_velt = result.get("data")
    outcomes = dict(from_velt) if isinstance(from_velt, dict) else {}
    for change in changes:
        if change.id in failed or (change.id not in outcomes and change.id not in changed):
            outcomes[change.id] = {"success": False, "message": _FAILED}
        else:
            outcomes.setdefault(change.id, {"success": True, "message": _UPDATED})
    return {**result, "data": outcomes}
