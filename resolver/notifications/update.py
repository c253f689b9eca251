"""Update: content changes the sealed record, structure goes to Velt."""

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
from resolver.velt.client import Endpoint
from resolver.velt.field_allow_list import People, Split, split_update
from resolver.velt.schema import with_warnings

JSON = dict[str, Any]
_UPDATED = "Notification updated."
_FAILED = "Failed to update notification."
_MOST_WARNINGS, _MOST_NAMED = 20, 3
_PENDING: JSON = {"result": {"status": "success", "message": "Notification(s) updated successfully."}}


@dataclass(frozen=True, slots=True)
class _Change:
    """What one entry of the request asks for."""

    id: str
    entry: JSON
    split: Split

    @property
    def structure(self) -> bool:
        return self.split.forward.keys() > {"id"}

    @property
    def withheld(self) -> bool:
        """It holds something that may only be kept here."""
        return bool((self._kept_names() | self.entry.keys() & {"notifyAll"}) - self.split.forward.keys())

    @property
    def local(self) -> bool:
        return bool(self._kept_names() or self.entry.keys() & {"notifyUsers", "notifyAll"})

    @property
    def void(self) -> bool:
        """All that it asks for, beside its id, is what no update can do."""
        asks = bool(self.split.stripped or self.split.dropped)
        return asks and not (self.structure or self.local)

    def _kept_names(self) -> Set[str]:
        return self.split.content.keys() | self.split.private.keys()

    def applied_to(self, record: Record, *, verified: bool) -> Record:
        """`verified`: the record is for those alone whom the document's permissions let in."""
        content = orjson.dumps(_merged(record.parsed_content(), self.split.content))
        private = _merged(record.private, self.split.private)
        changed = replace(record, content=content, private=private, verified=record.verified or verified)
        if "actionUser" in self.entry:
            changed = replace(changed, actor=self.entry["actionUser"]["userId"])
        if "notifyUsers" in self.entry:
            # Whoever left and is named again is meant to see it again.
            audience = audience_of(self.entry["notifyUsers"])
            dismissed_by = tuple(user for user in record.dismissed_by if user not in audience)
            changed = replace(changed, audience=audience, dismissed_by=dismissed_by)
        if "notifyAll" in self.entry:
            changed = replace(changed, everyone=self.entry["notifyAll"])
            if not changed.everyone and not changed.addressees():
                raise InvalidArgument("notifyUsers is required when notifyAll is false and it names nobody")
        ensure_fits(changed)
        return changed


@dataclass(frozen=True, slots=True)
class _Changes:
    """All entries about one notification, in their order. They are one write: nobody reads the text of one
    before a later one narrows who may."""

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
    people: People
    read_policy: ReadPolicy

    def __call__(self, data: Any, deadline: Deadline, audit: AuditContext) -> JSON:
        filters, entries = requests.parse_update(data)
        asked = [_Change(e["id"], e, split_update(e, self.people)) for e in entries]
        self._ensure_verifiable(filters, asked)
        changes = [change for change in asked if not change.void]
        held = self.store.read(filters["organizationId"], list({c.id: None for c in changes}))
        failed = {id_ for id_, record in held.items() if not record.matches(filters)}
        others = [change for change in changes if change.id not in held]
        ours = _by_notification(change for change in changes if change.id in held and change.id not in failed)
        for joint in ours:
            # All of them, before any is kept: too large, and nothing at all has been changed.
            joint.applied_to(held[joint.id], filters)
        meant = list({change.id: None for change in changes if change.id not in failed})
        audit.record(organization=filters["organizationId"], ids=meant, denied=sorted(failed))
        with self.sender.inline_slot() as mine:
            kept = [(joint, self._keep(joint, filters, mine)) for joint in ours]
            tried = [(joint, written) for joint, written in kept if written and written.claim]
            unheld = [change for change in others if change.structure or not change.withheld]
            answer = self._ask(filters, tried, unheld, deadline)
        failed |= {joint.id for joint, written in kept if written is None}
        failed |= {change.id for change in others if change.withheld}
        failed |= {change.id for change in asked if change.void}
        return with_warnings(_result(answer, asked, held.keys() - failed, failed), _warnings(asked, failed))

    def _ensure_verifiable(self, filters: JSON, changes: list[_Change]) -> None:
        """Refuse what would be shown to others: Velt changes it for those who may see the document alone, and
        who they are, only the document policy asks."""
        if self.read_policy != "document" and any(_verifies(filters, change) for change in changes):
            raise InvalidArgument(
                "verifyUserPermissions can't be kept to where text, audience or context are changed under "
                f"RESOLVER_READ_POLICY={self.read_policy}: it takes RESOLVER_READ_POLICY=document"
            )

    def _keep(self, joint: _Changes, filters: JSON, mine: bool) -> Written | None:
        """Changes the record and lines up what Velt is to hear of it; None when it is gone meanwhile."""
        lined_up = self.sender.entry(joint.command(filters), mine) if joint.forwarded else None
        organization = filters["organizationId"]
        if not joint.local and lined_up:
            return self.store.enqueue(organization, joint.id, lined_up)
        try:
            return self.store.change(
                organization, joint.id, lambda record: (joint.applied_to(record, filters), lined_up)
            )
        except InvalidArgument:
            # It fitted before any was kept: another writer has changed the record since.
            return None

    def _ask(self, filters: JSON, tried: list[_Tried], others: list[_Change], deadline: Deadline) -> JSON:
        """One call for all that this request may tell Velt itself, and for what isn't held here: of that,
        only Velt can answer, so an outage is passed on."""
        forwarded = [forward for joint, _ in tried for forward in joint.forwarded]
        forwarded += [change.split.forward for change in others]
        if not forwarded:
            return _PENDING
        data = {**filters, "notifications": forwarded}
        claims = [claim_of(written, joint.command(filters)) for joint, written in tried]
        answer = self.sender.send_batch(Endpoint.UPDATE, data, claims, deadline.reserve(RESERVE_SECONDS))
        if answer is None and others:
            raise VeltUnreachable("velt: not reached")
        return answer or _PENDING


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> JSON:
    """Per top-level key; an explicit null clears one."""
    kept = {name: value for name, value in stored.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _by_notification(changes: Iterable[_Change]) -> list[_Changes]:
    found: dict[str, list[_Change]] = {}
    for change in changes:
        found.setdefault(change.id, []).append(change)
    return [_Changes(id_, entries) for id_, entries in found.items()]


def _verifies(filters: JSON, change: _Change) -> bool:
    """Whether the change of what is kept here is for verified people alone."""
    return bool(filters.get("verifyUserPermissions")) and change.local


def _warnings(changes: list[_Change], failed: Set[str]) -> list[str]:
    """What was left undone and why: a line for each key, however many entries it is in."""
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
    more = len(lines) - _MOST_WARNINGS
    return [*lines[:_MOST_WARNINGS], f"{more} more keys were ignored or dropped"] if more > 0 else lines


def _some(ids: list[str]) -> str:
    named = ", ".join(f'"{id_}"' for id_ in ids[:_MOST_NAMED])
    return f"{named} and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else named


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
