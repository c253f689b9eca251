"""Delete: with ids, content goes first and Velt is told; without, Velt decides and content follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resolver.audit.attempt import Attempt
from resolver.audit.event import shortened
from resolver.command import Place
from resolver.deadline import Deadline
from resolver.notifications.telling import RESERVE_SECONDS, Telling, removal
from resolver.outbox.queue import Claimed, claimed_by
from resolver.vault.store import Vault
from resolver.velt import requests
from resolver.velt.client import Endpoint, VeltClient

JSON = dict[str, Any]
# Velt documents no cap for this list, but silently cuts others at 30: more would look deleted and not be.
_MOST_IDS_A_CALL = 30
_DONE: JSON = {"status": "success", "message": "Notification(s) deleted successfully."}
_FAILED: JSON = {"success": False, "message": "Failed to delete notification."}
_DELETED: JSON = {"success": True, "message": "Notification deleted."}


@dataclass(frozen=True, slots=True)
class DeleteNotifications:
    vault: Vault
    telling: Telling
    velt: VeltClient

    def __call__(self, data: Any, deadline: Deadline, attempt: Attempt) -> JSON:
        request = requests.parse(requests.DELETE, data)
        if "notificationIds" in request:
            return self._these(request, deadline, attempt)
        # Which ones only Velt knows, and only when it has deleted them.
        attempt.record(organization=request["organizationId"], scope=_scope(request))
        return self._whatever_velt_says(request, deadline)

    def _these(self, request: JSON, deadline: Deadline, attempt: Attempt) -> JSON:
        filters = {name: value for name, value in request.items() if name != "notificationIds"}
        ids = list(dict.fromkeys(request["notificationIds"]))
        spared = self._elsewhere(filters, ids)
        going = [id_ for id_ in ids if id_ not in spared]
        attempt.record(organization=request["organizationId"], ids=going, denied=sorted(spared))
        outcomes = {id_: _FAILED if id_ in spared else _DELETED for id_ in ids}
        with self.telling.turn() as mine:
            claims = [claim for id_ in ids if (claim := self._remove(filters, id_, id_ in spared, mine))]
            for start in range(0, len(claims), _MOST_IDS_A_CALL):
                batch = claims[start : start + _MOST_IDS_A_CALL]
                outcomes |= self._tell(filters, batch, deadline.keeping(RESERVE_SECONDS))
        return {"result": {**_DONE, "data": outcomes}}

    def _elsewhere(self, filters: JSON, ids: list[str]) -> set[str]:
        """The request's other filters bound what may go, here as at Velt."""
        if not filters.keys() & {"documentId", "locationId", "userId"}:
            return set()
        held = self.vault.read(filters["organizationId"], ids)
        return {id_ for id_, record in held.items() if not record.matches(filters)}

    def _remove(self, filters: JSON, id_: str, spared: bool, mine: bool) -> Claimed | None:
        """The content, and in the same step the removal in line; its claim when Velt may be told now."""
        organization = filters["organizationId"]
        command = removal(id_, filters)
        if spared:
            written = self.vault.line_up(organization, id_, self.telling.entry(command, mine))
        else:
            written = self.vault.remove(organization, id_, self.telling.entry(command, mine, Place.INSTEAD))
        return claimed_by(written, command) if written.claim else None

    def _tell(self, filters: JSON, claims: list[Claimed], deadline: Deadline) -> JSON:
        """Velt's outcome for each; none when Velt can't be had: then the removals wait."""
        ids = [claimed.command.notification for claimed in claims if claimed.command]
        data = {**filters, "notificationIds": ids}
        answer = self.telling.tell_all(Endpoint.DELETE, data, claims, deadline)
        return _outcomes(answer) if answer else {}

    def _whatever_velt_says(self, request: JSON, deadline: Deadline) -> JSON:
        answer = self.velt.post(Endpoint.DELETE, request, deadline)
        for id_, outcome in _outcomes(answer).items():
            if isinstance(outcome, dict) and outcome.get("success") is True:
                waiting = self.telling.entry(
                    removal(id_, {"organizationId": request["organizationId"]}), False, Place.IF_WAITING
                )
                self.vault.remove(request["organizationId"], id_, waiting)
        return answer


def _scope(request: JSON) -> JSON:
    return {name: shortened(str(value)) for name, value in request.items() if name != "organizationId"}


def _outcomes(answer: JSON) -> JSON:
    data = answer["result"].get("data")
    return data if isinstance(data, dict) else {}
