"""Delete notifications. With ids, content is removed here first, then at Velt; without, Velt decides which.

With a `userId` filter, only that person is taken out; the record is removed when no other is addressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from resolver.audit.event import shortened
from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.errors import StoreUnavailable, Unavailable
from resolver.notifications.policy import dismiss
from resolver.outbox.queue import Claim, claim_of
from resolver.outbox.sender import RESERVE_SECONDS, VeltSender, removal
from resolver.store.command import Command, Entry, Place
from resolver.store.record import Record
from resolver.store.records import Changed, RecordStore, Written
from resolver.velt import requests
from resolver.velt.client import Endpoint, VeltClient

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


class _Effect(NamedTuple):
    """Effect of a deletion on one record."""

    record: Record
    remaining: Record | None
    """`record` itself when it stays as it is; None when it is removed."""

    @property
    def spared(self) -> bool:
        return self.remaining is self.record

    @property
    def kept(self) -> bool:
        """Whether it is kept for others than the person who was taken out."""
        return self.remaining is not None and not self.spared


@dataclass(frozen=True, slots=True)
class _Deletion:
    """A request's filters: only records that they select may be removed, here as at Velt."""

    filters: JSON

    @property
    def organization(self) -> str:
        return str(self.filters["organizationId"])

    @property
    def user(self) -> str | None:
        return self.filters.get("userId")

    @property
    def bounded(self) -> bool:
        return self.filters.keys() > {"organizationId"}

    def effect(self, record: Record) -> _Effect:
        if not self._selects(record):
            return _Effect(record, record)
        if self.user is None:
            return _Effect(record, None)
        try:
            remaining = dismiss(self.user, record)
        except Unavailable:  # its list is full: this one fails, the others go on
            return _Effect(record, record)
        return _Effect(record, remaining if remaining.everyone or remaining.addressees() else None)

    def _selects(self, record: Record) -> bool:
        """Whether the filters select a record, also for a person who was taken out before: the same request
        may come twice."""
        return record.matches(self.filters) or (
            record.is_at(self.filters) and self.user in record.dismissed_by
        )


@dataclass(frozen=True, slots=True)
class DeleteNotifications:
    store: RecordStore
    sender: VeltSender
    velt: VeltClient

    def __call__(self, data: Any, deadline: Deadline, audit: AuditContext) -> JSON:
        request = requests.parse(requests.DELETE, data)
        if "notificationIds" in request:
            return self._delete_ids(request, deadline, audit)
        # Only Velt knows which ones, and only after it has deleted them.
        audit.record(organization=request["organizationId"], scope=_scope(request))
        return self._delete_scope(_Deletion(request), deadline, audit)

    def _delete_ids(self, request: JSON, deadline: Deadline, audit: AuditContext) -> JSON:
        filters = {name: value for name, value in request.items() if name != "notificationIds"}
        deletion = _Deletion(filters)
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

    def _spared(self, deletion: _Deletion, ids: list[str]) -> set[str]:
        if not deletion.bounded:
            return set()
        held = self.store.read(deletion.organization, ids)
        return {id_ for id_, record in held.items() if deletion.effect(record).spared}

    def _remove(self, deletion: _Deletion, id_: str, inline: bool) -> tuple[_Effect | None, Claim | None]:
        """Remove the content and queue the removal in one step. Returns its claim when this request may send
        it."""
        command = removal(id_, deletion.filters)
        entry = self._entry_of(command, inline)
        if not deletion.bounded:
            effect, written = None, self.store.remove(deletion.organization, id_, entry(Place.REPLACE_UNSENT))
            return effect, claim_of(written, command) if written.claim else None

        def changed_by(effect: _Effect) -> Changed:
            # Queued commands for the people who keep it must not be replaced.
            return effect.remaining, entry(Place.REPLACE_UNSENT if effect.remaining is None else Place.APPEND)

        effect, changed = self._change(deletion, id_, changed_by)
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
        answer = self.sender.send_batch(Endpoint.DELETE, data, claims, deadline)
        return _outcomes(answer) if answer else {}

    def _delete_scope(self, deletion: _Deletion, deadline: Deadline, audit: AuditContext) -> JSON:
        """Let Velt delete what the filters select, and remove the records that it names.

        Records that our own filters don't select stay: Velt doesn't decide about our content.
        """
        answer = self.velt.post(Endpoint.DELETE, deletion.filters, deadline.reserve(_REMOVING_SECONDS))
        outcomes = _outcomes(answer)
        named = [id_ for id_, outcome in outcomes.items() if _is_success(outcome)]
        effects: list[_Effect] = []
        for start in range(0, len(named), _BATCH):
            effects += self._remove_named(deletion, named[start : start + _BATCH], audit)
        failed = {effect.record.notification: _FAILED for effect in effects if effect.spared}
        result = {**answer["result"], "data": {**outcomes, **failed}} if failed else answer["result"]
        return _answer(result, deletion, effects)

    def _remove_named(self, deletion: _Deletion, ids: Sequence[str], audit: AuditContext) -> list[_Effect]:
        """Remove the records that Velt named. Tries twice, since Velt won't name them to a repeated request;
        the second attempt doesn't find what the first one removed."""
        try:
            return self._remove_batch(deletion, ids, audit)
        except StoreUnavailable:
            return self._remove_batch(deletion, ids, audit)

    def _remove_batch(self, deletion: _Deletion, ids: Sequence[str], audit: AuditContext) -> list[_Effect]:
        """Remove records in two round trips, and more for records that are written meanwhile."""
        held = self.store.batch(deletion.organization, ids)
        effects = [deletion.effect(item.record) for item in held]
        if held:
            audit.record_also(_ids(effects, spared=False), _ids(effects, spared=True))
        going = [(item, effect) for item, effect in zip(held, effects, strict=True) if not effect.spared]
        changes = [(item, self._changed(deletion, effect)) for item, effect in going]
        done = self.store.replace_all(changes)
        overtaken = {
            item.record.notification for (item, _), is_done in zip(going, done, strict=True) if not is_done
        }
        change = partial(self._changed, deletion)
        again = {id_: self._change(deletion, id_, change)[0] for id_ in overtaken}
        latest = (again.get(effect.record.notification, effect) for effect in effects)
        return [effect for effect in latest if effect]

    def _change(
        self, deletion: _Deletion, id_: str, changed_by: Callable[[_Effect], Changed]
    ) -> tuple[_Effect | None, Written | None]:
        """Apply the deletion to the latest version of a record. Returns its effect and the write, if any."""
        effect: _Effect | None = None

        def change(record: Record) -> Changed:
            nonlocal effect
            effect = deletion.effect(record)
            return changed_by(effect)

        written = self.store.change(deletion.organization, id_, change)
        return effect, written

    def _changed(self, deletion: _Deletion, effect: _Effect) -> Changed:
        """The new record, and a removal if commands are queued: they would create it at Velt again."""
        id_, organization = effect.record.notification, {"organizationId": deletion.organization}
        if effect.spared:
            return effect.record, None
        if effect.remaining is None:
            return None, self.sender.entry(removal(id_, organization), False, Place.REPLACE_IF_QUEUED)
        theirs = removal(id_, {**organization, "userId": deletion.user})
        return effect.remaining, self.sender.entry(theirs, False, Place.APPEND_IF_QUEUED)


def _scope(request: JSON) -> JSON:
    return {name: shortened(str(value)) for name, value in request.items() if name != "organizationId"}


def _ids(effects: list[_Effect], *, spared: bool) -> list[str]:
    return [effect.record.notification for effect in effects if effect.spared is spared]


def _outcomes(answer: JSON) -> JSON:
    data = answer["result"].get("data")
    return data if isinstance(data, dict) else {}


def _is_success(outcome: Any) -> bool:
    return isinstance(outcome, dict) and outcome.get("success") is True


def _answer(result: JSON, deletion: _Deletion, effects: Iterable[_Effect]) -> JSON:
    kept = {} if deletion.user is None else {"kept": sum(effect.kept for effect in effects)}
    return {"result": {**result, **kept}}
