"""Update: content changes the sealed record, structure goes to Velt."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import orjson

from resolver.deadline import Deadline
from resolver.notifications.add import audience_of, ensure_fits
from resolver.record import Record
from resolver.split import People, Split, split_update
from resolver.vault.store import Vault
from resolver.velt import requests
from resolver.velt.client import Endpoint, VeltClient

JSON = dict[str, Any]
_UPDATED = "Notification updated."
_FAILED = "Failed to update notification."
_DONE = "Notification(s) updated successfully."


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
        return bool((self.split.content.keys() | self.split.private.keys()) - self.split.forward.keys())

    @property
    def local(self) -> bool:
        return bool(self.split.content or self.split.private or "notifyUsers" in self.entry)

    def applied_to(self, record: Record) -> Record:
        content = orjson.dumps(_merged(record.parsed_content(), self.split.content))
        private = _merged(record.private, self.split.private)
        changed = replace(record, content=content, private=private)
        if "actionUser" in self.entry:
            changed = replace(changed, actor=self.entry["actionUser"]["userId"])
        if "notifyUsers" in self.entry:
            # Whoever left and is named again is meant to see it again.
            audience = audience_of(self.entry["notifyUsers"])
            hidden = tuple(user for user in record.hidden if user not in audience)
            changed = replace(changed, audience=audience, hidden=hidden)
        ensure_fits(changed)
        return changed


@dataclass(frozen=True, slots=True)
class UpdateNotifications:
    vault: Vault
    velt: VeltClient
    people: People

    def __call__(self, data: Any, deadline: Deadline) -> JSON:
        filters, entries = requests.parse_update(data)
        changes = [_Change(e["id"], e, split_update(e, self.people)) for e in entries]
        held = self.vault.read(filters["organizationId"], list({c.id: None for c in changes}))
        failed = {id_ for id_, record in held.items() if not record.matches(filters)}
        todo = [change for change in changes if change.id not in failed]
        failed |= self._keep(filters["organizationId"], todo, held)
        answer = self._tell_velt(filters, [c for c in todo if _goes_to_velt(c, c.id in held)], deadline)
        return _reply(answer, changes, held.keys() - failed, failed)

    def _keep(self, organization: str, changes: list[_Change], held: Mapping[str, Record]) -> set[str]:
        """Changes what is held here; gives back the ids for which something could not be kept."""
        ours = [change for change in changes if change.id in held and change.local]
        trial = dict(held)
        for change in ours:
            # All of them together, before any is kept: too large, and nothing at all has been changed.
            trial[change.id] = change.applied_to(trial[change.id])
        gone = set()
        for change in ours:
            if not self.vault.change(organization, change.id, change.applied_to):
                gone.add(change.id)
        return gone | {change.id for change in changes if change.id not in held and change.withheld}

    def _tell_velt(self, filters: JSON, changes: list[_Change], deadline: Deadline) -> JSON:
        if not changes:
            return {"result": {"status": "success", "message": _DONE}}
        entries = [change.split.forward for change in changes]
        return self.velt.post(Endpoint.UPDATE, {**filters, "notifications": entries}, deadline)


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> JSON:
    """Per top-level key; an explicit null clears one."""
    kept = {name: value for name, value in stored.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _goes_to_velt(change: _Change, held: bool) -> bool:
    """An entry that holds nothing at all asks whether the notification is there; of one that isn't held
    here, only Velt knows."""
    return change.structure or not (held or change.withheld)


def _reply(answer: JSON, changes: list[_Change], changed: Set[str], failed: Set[str]) -> JSON:
    result = answer["result"]
    from_velt = result.get("data")
    outcomes = dict(from_velt) if isinstance(from_velt, dict) else {}
    for change in changes:
        if change.id in failed or (change.id not in outcomes and change.id not in changed):
            outcomes[change.id] = {"success": False, "message": _FAILED}
        else:
            outcomes.setdefault(change.id, {"success": True, "message": _UPDATED})
    return {"result": {**result, "data": outcomes}}
