"""Delete: with ids, content goes first and Velt is told; without, Velt decides and content follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resolver.deadline import Deadline
from resolver.vault.store import Vault
from resolver.velt import requests
from resolver.velt.client import Endpoint, VeltClient

JSON = dict[str, Any]
# Velt documents no cap for this list, but silently cuts others at 30: more would look deleted and not be.
_MOST_IDS_A_CALL = 30


@dataclass(frozen=True, slots=True)
class DeleteNotifications:
    vault: Vault
    velt: VeltClient

    def __call__(self, data: Any, deadline: Deadline) -> JSON:
        request = requests.parse(requests.DELETE, data)
        if "notificationIds" in request:
            return self._these(request, deadline)
        return self._whatever_velt_says(request, deadline)

    def _these(self, request: JSON, deadline: Deadline) -> JSON:
        ids = list(dict.fromkeys(request["notificationIds"]))
        self.vault.remove(request["organizationId"], self._meant(request, ids))
        outcomes: JSON = {}
        for start in range(0, len(ids), _MOST_IDS_A_CALL):
            batch = ids[start : start + _MOST_IDS_A_CALL]
            answer = self.velt.post(Endpoint.DELETE, {**request, "notificationIds": batch}, deadline)
            outcomes |= _outcomes(answer)
        return {"result": {**answer["result"], "data": outcomes}}

    def _meant(self, request: JSON, ids: list[str]) -> list[str]:
        """The request's other filters bound what may go, here as at Velt."""
        if not request.keys() & {"documentId", "locationId", "userId"}:
            return ids
        held = self.vault.read(request["organizationId"], ids)
        return [id_ for id_, record in held.items() if record.matches(request)]

    def _whatever_velt_says(self, request: JSON, deadline: Deadline) -> JSON:
        answer = self.velt.post(Endpoint.DELETE, request, deadline)
        gone = [id_ for id_, outcome in _outcomes(answer).items() if _succeeded(outcome)]
        self.vault.remove(request["organizationId"], gone)
        return answer


def _outcomes(answer: JSON) -> JSON:
    data = answer["result"].get("data")
    return data if isinstance(data, dict) else {}


def _succeeded(outcome: Any) -> bool:
    return isinstance(outcome, dict) and outcome.get("success") is True
