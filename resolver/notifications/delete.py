"""Delete notifications. With ids, content is removed here first, then at Velt; without, Velt decides which
ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from resolver import clock
from resolver.audit.event import shortened
from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.errors import StoreUnavailable, VeltRefused
from resolver.notifications.deletion import Effect, FilteredDeletion, apply, change_latest, ids_of
from resolver.outbox.queue import Claim, claim_of
from resolver.outbox.sender import RESERVE_SECONDS, VeltSender, removal
from resolver.store.command import Command, Entry, Place
from resolver.store.records import Changed, RecordStore
from resolver.store.unfinished_deletions import CLOCK_MARGIN_MS, UnfinishedDeletion, UnfinishedDeletions
from resolver.velt import requests
from resolver.velt.client import VeltClient, VeltEndpoint

JSON = dict[str, Any]
# Velt documents no limit for this list, but silently truncates others at 30: the rest would not be deleted.
_MAX_IDS_PER_CALL = 30
# Records that are opened and removed at a time, of those that Velt names.
_BATCH = 100
# Part of a request's time that is kept for removing records here after Velt has deleted them.
_REMOVING_SECONDS = 2 * RESERVE_SECONDS
_DONE: JSON = {"status": "success", "message": "Notification(s) deleted successfully."}
_FAILED: JSON = {"success": False, "message": "Failed to delete notification."}
_DELETED: JSON = {"success": True, "message": "Notification deleted."}


@dataclass(frozen=True, slots=True)
class DeleteNotifications:
    store: RecordStore
    sender: VeltSender
    velt: VeltClient
    unfinished: UnfinishedDeletions

    def __call__(self, data: Any, deadline: Deadline, audit: AuditContext) -> JSON:
        request = requests.parse(requests.DELETE, data)
        if "notificationIds" in request:
            return self._delete_ids(request, deadline, audit)
        # Only Velt knows which ones, and only after it has deleted them.
        audit.record(organization=request["organizationId"], scope=_scope(request))
        return self._delete_scope(FilteredDeletion(request), deadline, audit)

    def _delete_ids(self, request: JSON, deadline: Deadline, audit: AuditContext) -> JSON:
        filters = {name: value for name, value in request.items() if name != "notificationIds"}
        deletion = FilteredDeletion(filters)
        ids = list(dict.fromkeys(request["notificationIds"]))
        spared = self._spared(deletion, ids)
        going = [id_ for id_ in ids if id_ not in spared]
        audit.record(organization=deletion.organization, ids=going, denied=sorted(spared))
        with self.sender.inline_slot() as inline:
            removed = {id_: self._remove(deletion, id_, inline) for id_ in ids}
            claims = [claim for _, claim in removed.values() if claim]
            outcomes: JSON = {}
            for start in range(0, len(claims), _MAX_IDS_PER_CALL):
                batch = claims[start : start + _MAX_IDS_PER_CALL]
                outcomes |= self._send(filters, batch, deadline.reserve(RESERVE_SECONDS))
        effects = {id_: effect for id_, (effect, _) in removed.items() if effect}
        failed = {id_ for id_, effect in effects.items() if effect.spared}
        said = {id_: _FAILED if id_ in failed else outcomes.get(id_, _DELETED) for id_ in ids}
        return _answer({**_DONE, "data": said}, deletion, effects.values())

    def _spared(self, deletion: FilteredDeletion, ids: list[str]) -> set[str]:
        if not deletion.bounded:
            return set()
        held = self.store.read(deletion.organization, ids)
        return {id_ for id_, record in held.items() if deletion.effect(record).spared}

    def _remove(
        self, deletion: FilteredDeletion, id_: str, inline: bool
    ) -> tuple[Effect | None, Claim | None]:
        """Remove the content and queue the removal in one step. Returns its claim when this request may send
        it."""
        command = removal(id_, deletion.filters)
        entry = self._entry_of(command, inline)
        if not deletion.bounded:
            effect, written = None, self.store.remove(deletion.organization, id_, entry(Place.REPLACE_UNSENT))
            return effect, claim_of(written, command) if written.claim else None

        def changed_by(effect: Effect) -> Changed:
            # Queued commands for the people who keep it must not be replaced.
            return effect.remaining, entry(Place.REPLACE_UNSENT if effect.remaining is None else Place.APPEND)

        effect, changed = change_latest(self.store, deletion, id_, changed_by)
        if changed is None or (effect and effect.spared):
            # No record changes here, but Velt may have notifications that the filters select.
            changed = self.store.enqueue(deletion.organization, id_, entry(Place.APPEND))
        return effect, claim_of(changed, command) if changed.claim else None

    def _entry_of(self, command: Command, inline: bool) -> Callable[[Place], Entry]:
        return lambda place: self.sender.entry(command, inline, place)

    def _send(self, filters: JSON, claims: list[Claim], deadline: Deadline) -> JSON:
        """Send removals in one call. Returns Velt's outcome for each, or none when the removals stay
        queued."""
        ids = [claim.command.notification for claim in claims if claim.command]
        data = {**filters, "notificationIds": ids}
        answer = self.sender.send_batch(VeltEndpoint.DELETE, data, claims, deadline)
        return _outcomes(answer) if answer else {}

    def _delete_scope(self, deletion: FilteredDeletion, deadline: Deadline, audit: AuditContext) -> JSON:
        """Let Velt delete what the filters select, and remove the records that it names.

        Records that our own filters don't select stay: Velt doesn't decide about our content. When this is
        interrupted after Velt was asked, a worker finishes it (`finish_deletions`).
        """
        noted = self._note(deletion, audit)
        try:
            answer = self.velt.post(
                VeltEndpoint.DELETE, deletion.filters, deadline.reserve(_REMOVING_SECONDS)
            )
        except VeltRefused:
            # If this fails, the deletion may still be carried out, so the caller must not get the refusal.
            self.unfinished.forget(noted)
            raise
        outcomes = _outcomes(answer)
        named = [id_ for id_, outcome in outcomes.items() if _is_success(outcome)]
        effects: list[Effect] = []
        for start in range(0, len(named), _BATCH):
            effects += self._remove_named(deletion, named[start : start + _BATCH], audit)
        with suppress(StoreUnavailable):  # then a worker looks for what the filters select once more
            self.unfinished.forget(noted)
        failed = dict.fromkeys(ids_of(effects, spared=True), _FAILED)
        result = {**answer["result"], "data": {**outcomes, **failed}} if failed else answer["result"]
        return _answer(result, deletion, effects)

    def _note(self, deletion: FilteredDeletion, audit: AuditContext) -> str:
        asked, id_ = clock.milliseconds(), secrets.token_hex(16)
        due = asked + self.sender.lease_ms + CLOCK_MARGIN_MS
        noted = UnfinishedDeletion(deletion.filters, audit.actor.id, audit.request, asked, due)
        self.unfinished.note(id_, noted)
        return id_

    def _remove_named(
        self, deletion: FilteredDeletion, ids: Sequence[str], audit: AuditContext
    ) -> list[Effect]:
        held = self.store.batch(deletion.organization, ids)
        effects = [deletion.effect(item.record) for item in held]
        if held:
            audit.record_also(ids_of(effects, spared=False), ids_of(effects, spared=True))
        return apply(self.store, deletion, list(zip(held, effects, strict=True)), tells_velt=False)


def _scope(request: JSON) -> JSON:
    return {name: shortened(str(value)) for name, value in request.items() if name != "organizationId"}


def _outcomes(answer: JSON) -> JSON:
    data = answer["result"].get("data")
    return data if isinstance(data, dict) else {}


def _is_success(outcome: Any) -> bool:
    return isinstance(outcome, dict) and outcome.get("success") is True


def _answer(result: JSON, deletion: FilteredDeletion, effects: Iterable[Effect]) -> JSON:
    kept = {} if deletion.user is None else {"kept": sum(effect.kept for effect in effects)}
    return {"result": {**result, **kept}}
