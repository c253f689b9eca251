"""Delete: with ids, content goes first and Velt is told; without, Velt decides and content follows.

With a `userId` filter that person is taken out, and the record goes when nobody else is addressed.
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
from resolver.notifications.policy import without
from resolver.outbox.queue import Claim, claim_of
from resolver.outbox.sender import RESERVE_SECONDS, VeltSender, removal
from resolver.store.command import Command, Entry, Place
from resolver.store.record import Record
from resolver.store.records import Changed, RecordStore, Written
from resolver.velt import requests
from resolver.velt.client import Endpoint, VeltClient

JSON = dict[str, Any]
# Velt documents no cap for this list, but silently cuts others at 30: more would look deleted and not be.
_MOST_IDS_A_CALL = 30
# Of what Velt names, this many records are opened and removed at a time.
_BATCH = 100
# Of a request's time, for removing here what Velt has deleted.
_FOLLOWING_SECONDS = 2 * RESERVE_SECONDS
_DONE: JSON = {"status": "success", "message": "Notification(s) deleted successfully."}
_FAILED: JSON = {"success": False, "message": "Failed to delete notification."}
_DELETED: JSON = {"success": True, "message": "Notification deleted."}


class _Effect(NamedTuple):
    """What a deletion does to one record."""

    record: Record
    left: Record | None
    """The very record when it stays as it is; None when it goes."""

    @property
    def spared(self) -> bool:
        return self.left is self.record

    @property
    def kept(self) -> bool:
        """For others than the one person who was taken out."""
        return self.left is not None and not self.spared


@dataclass(frozen=True, slots=True)
class _Deletion:
    """A request's filters, which bound what may go, here as at Velt."""

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
        if not self._means(record):
            return _Effect(record, record)
        if self.user is None:
            return _Effect(record, None)
        try:
            left = without(self.user, record)
        except Unavailable:  # nobody more can be taken out of this one: no success, and no reason to stop
            return _Effect(record, record)
        return _Effect(record, left if left.everyone or left.addressees() else None)

    def _means(self, record: Record) -> bool:
        """A person who was taken out before is still meant: the same request may come twice."""
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
            return self._these(request, deadline, audit)
        # Which ones only Velt knows, and only when it has deleted them.
        audit.record(organization=request["organizationId"], scope=_scope(request))
        return self._what_velt_names(_Deletion(request), deadline, audit)

    def _these(self, request: JSON, deadline: Deadline, audit: AuditContext) -> JSON:
        filters = {name: value for name, value in request.items() if name != "notificationIds"}
        deletion = _Deletion(filters)
        ids = list(dict.fromkeys(request["notificationIds"]))
        spared = self._spared(deletion, ids)
        going = [id_ for id_ in ids if id_ not in spared]
        audit.record(organization=deletion.organization, ids=going, denied=sorted(spared))
        with self.sender.inline_slot() as mine:
            removed = {id_: self._remove(deletion, id_, mine) for id_ in ids}
            claims = [claim for _, claim in removed.values() if claim]
            outcomes: JSON = {}
            for start in range(0, len(claims), _MOST_IDS_A_CALL):
                batch = claims[start : start + _MOST_IDS_A_CALL]
                outcomes |= self._tell(filters, batch, deadline.reserve(RESERVE_SECONDS))
        effects = {id_: effect for id_, (effect, _) in removed.items() if effect}
        failed = {id_ for id_, effect in effects.items() if effect.spared}
        said = {id_: _FAILED if id_ in failed else outcomes.get(id_, _DELETED) for id_ in ids}
        return _answer({**_DONE, "data": said}, deletion, effects.values())

    def _spared(self, deletion: _Deletion, ids: list[str]) -> set[str]:
        if not deletion.bounded:
            return set()
        held = self.store.read(deletion.organization, ids)
        return {id_ for id_, record in held.items() if deletion.effect(record).spared}

    def _remove(self, deletion: _Deletion, id_: str, mine: bool) -> tuple[_Effect | None, Claim | None]:
        """The content, and in the same step the removal in line; its claim when Velt may be told now."""
        command = removal(id_, deletion.filters)
        entry = self._entry_of(command, mine)
        if not deletion.bounded:
            effect, written = None, self.store.remove(deletion.organization, id_, entry(Place.REPLACE_UNSENT))
            return effect, claim_of(written, command) if written.claim else None

        def changed_by(effect: _Effect) -> Changed:
            # What waits for others who keep it must not be replaced.
            return effect.left, entry(Place.REPLACE_UNSENT if effect.left is None else Place.APPEND)

        effect, changed = self._change(deletion, id_, changed_by)
        if changed is None or (effect and effect.spared):
            # Nothing changes here; what Velt has of it is Velt's to find by the same filters.
            changed = self.store.enqueue(deletion.organization, id_, entry(Place.APPEND))
        return effect, claim_of(changed, command) if changed.claim else None

    def _entry_of(self, command: Command, mine: bool) -> Callable[[Place], Entry]:
        return lambda place: self.sender.entry(command, mine, place)

    def _tell(self, filters: JSON, claims: list[Claim], deadline: Deadline) -> JSON:
        """Velt's outcome for each; none when Velt can't be had: then the removals wait."""
        ids = [claimed.command.notification for claimed in claims if claimed.command]
        data = {**filters, "notificationIds": ids}
        answer = self.sender.send_batch(Endpoint.DELETE, data, claims, deadline)
        return _outcomes(answer) if answer else {}

    def _what_velt_names(self, deletion: _Deletion, deadline: Deadline, audit: AuditContext) -> JSON:
        """Velt says which are gone there. Only those that the filters mean go here as well: that Velt names a
        notification doesn't decide what becomes of our content."""
        answer = self.velt.post(Endpoint.DELETE, deletion.filters, deadline.reserve(_FOLLOWING_SECONDS))
        outcomes = _outcomes(answer)
        named = [id_ for id_, outcome in outcomes.items() if _is_success(outcome)]
        effects: list[_Effect] = []
        for start in range(0, len(named), _BATCH):
            effects += self._follow_surely(deletion, named[start : start + _BATCH], audit)
        failed = {effect.record.notification: _FAILED for effect in effects if effect.spared}
        result = {**answer["result"], "data": {**outcomes, **failed}} if failed else answer["result"]
        return _answer(result, deletion, effects)

    def _follow_surely(self, deletion: _Deletion, ids: Sequence[str], audit: AuditContext) -> list[_Effect]:
        """Try twice: Velt doesn't name them again, so that a repeated request would find nothing to remove.
        What the first attempt has removed, the second one doesn't find."""
        try:
            return self._follow(deletion, ids, audit)
        except StoreUnavailable:
            return self._follow(deletion, ids, audit)

    def _follow(self, deletion: _Deletion, ids: Sequence[str], audit: AuditContext) -> list[_Effect]:
        """Two round trips for all, unless somebody writes one of them meanwhile."""
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
        # On the version that somebody wrote meanwhile.
        change = partial(self._changed, deletion)
        again = {id_: self._change(deletion, id_, change)[0] for id_ in overtaken}
        latest = (again.get(effect.record.notification, effect) for effect in effects)
        return [effect for effect in latest if effect]

    def _change(
        self, deletion: _Deletion, id_: str, changed_by: Callable[[_Effect], Changed]
    ) -> tuple[_Effect | None, Written | None]:
        """What the deletion does to the record as it is now, and what that wrote; nothing when it is gone."""
        effect: _Effect | None = None

        def change(record: Record) -> Changed:
            nonlocal effect
            effect = deletion.effect(record)
            return changed_by(effect)

        written = self.store.change(deletion.organization, id_, change)
        return effect, written

    def _changed(self, deletion: _Deletion, effect: _Effect) -> Changed:
        """With a removal behind whatever still waits for Velt, or it would be there again."""
        id_, organization = effect.record.notification, {"organizationId": deletion.organization}
        if effect.spared:
            return effect.record, None
        if effect.left is None:
            return None, self.sender.entry(removal(id_, organization), False, Place.REPLACE_IF_QUEUED)
        theirs = removal(id_, {**organization, "userId": deletion.user})
        return effect.left, self.sender.entry(theirs, False, Place.APPEND_IF_QUEUED)


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
