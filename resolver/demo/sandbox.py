"""Calls to the Velt sandbox's control paths. The demo page itself may only call its own origin."""

from __future__ import annotations

from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

import orjson

from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.http_client import HttpClient

JSON = dict[str, Any]
_LARGEST_ANSWER = 16 * 1024 * 1024
_OUTAGE = {"status": 503}


class Sandbox:
    def __init__(self, url: str, connections: int) -> None:
        self._http = HttpClient(
            f"{url}/_sandbox/",
            {"content-type": "application/json"},
            connections=connections,
            largest_answer=_LARGEST_ANSWER,
        )

    def notifications(self, deadline: Deadline) -> list[JSON]:
        """All stored notifications, newest first."""
        found = self._listed("notifications", "notifications", deadline)[::-1]
        return sorted(found, key=itemgetter("timestamp"), reverse=True)

    def ledger(self, deadline: Deadline) -> list[JSON]:
        """Every body that Velt was sent, newest first."""
        return self._listed("ledger", "entries", deadline)[::-1]

    def feed(self, organization: str, user: str, deadline: Deadline) -> list[JSON]:
        """The notifications that Velt's SDK gets for a user, before it calls the data provider."""
        query = urlencode({"organizationId": organization, "userId": user})
        return self._listed(f"inbox?{query}", "notifications", deadline)

    def is_out(self, deadline: Deadline) -> bool:
        return bool(self._listed("faults", "faults", deadline))

    def break_down(self, deadline: Deadline) -> None:
        self.mend(deadline)
        self._ask("POST", "faults", deadline, _OUTAGE)

    def mend(self, deadline: Deadline) -> None:
        self._ask("DELETE", "faults", deadline)

    def _listed(self, path: str, name: str, deadline: Deadline) -> list[JSON]:
        found = self._ask("GET", path, deadline).get(name)
        if not isinstance(found, list):
            raise ServiceUnreachable("not the sandbox")
        return found

    def _ask(self, method: str, path: str, deadline: Deadline, body: JSON | None = None) -> JSON:
        sent = orjson.dumps(body) if body is not None else None
        answer = self._http.call(method, deadline, sent, path)
        try:
            found = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise ServiceUnreachable("not the sandbox")
        return found
