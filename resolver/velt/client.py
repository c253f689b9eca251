"""Velt's side of the wire: its endpoints, its credentials, its answers as values or typed failures.

Credentials are added here and nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import orjson

from resolver.config import OutboundSettings
from resolver.config.secret import Secret
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable, VeltFailed, VeltRefused, VeltUnavailable
from resolver.ops import metrics
from resolver.outbound.http_client import HttpClient
from resolver.validation.json_limits import DEEPEST, MOST_CONTAINERS, is_too_deep

JSON = dict[str, Any]
_LARGEST_ANSWER = 4 * 1024 * 1024

THROTTLED = "RESOURCE_EXHAUSTED"
# Velt's refusals, and the HTTP status they are passed on with when Velt sent them under a 200.
_REFUSALS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    THROTTLED: 429,
}


# Those that trying again doesn't change. Any other may come from something between us and Velt.
FINAL = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND", "ALREADY_EXISTS"})
# Ours to mend, not the command's fault: a token that was reset refuses everything.
CREDENTIALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})


# A job's id stands in a signed certificate.
_JOB = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_RETRY_AFTER = re.compile(
    r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_REFUSES_US, _UNREACHED = "credentials", "unreached"


class Endpoint(StrEnum):
    ADD = "/v2/notifications/add"
    UPDATE = "/v2/notifications/update"
    GET = "/v2/notifications/get"
    DELETE = "/v2/notifications/delete"
    CONFIG_SET = "/v2/notifications/config/set"
    CONFIG_GET = "/v2/notifications/config/get"
    WORKSPACE_GET = "/v2/workspace/notificationconfig/get"
    WORKSPACE_UPDATE = "/v2/workspace/notificationconfig/update"


_USER_DATA_DELETE, _USER_DATA_STATUS = "/v2/users/data/delete", "/v2/users/data/delete/status"


class VeltClient:
    def __init__(
        self,
        url: str,
        api_key: Secret,
        auth_token: Secret | None,
        connections: int,
        outbound: OutboundSettings,
    ) -> None:
        """Without an auth token every call is VeltUnavailable, and nothing is sent."""
        self._is_equipped = auth_token is not None
        headers = {
            "content-type": "application/json",
            "x-velt-api-key": api_key.reveal(),
            "x-velt-auth-token": auth_token.reveal() if auth_token else "",
        }
        self._http = HttpClient(
            url, headers, connections=connections, largest_answer=_LARGEST_ANSWER, outbound=outbound
        )
        for path in (*Endpoint, _USER_DATA_DELETE, _USER_DATA_STATUS):
            # Zeros: the first time is the one to hear of.
            for outcome in (_REFUSES_US, _UNREACHED):
                metrics.VELT.labels(path, outcome)

    def post(self, endpoint: Endpoint, data: JSON, deadline: Deadline) -> JSON:
        """Velt's whole successful answer, `{"result": …}`.

        Raises VeltRefused for Velt's own no, VeltUnavailable for anything that isn't an answer.
        """
        return _timed(self._post, endpoint, data, deadline)

    def _post(self, endpoint: str, data: JSON, deadline: Deadline) -> JSON:
        status, body, retry_after = self._exchange(endpoint, orjson.dumps({"data": data}), deadline)
        answer = _parsed(body)
        error = answer.get("error")
        if isinstance(error, dict):
            raise _failure(status, error, answer, retry_after)
        result = answer.get("result")
        if not 200 <= status < 300 or not isinstance(result, dict) or result.get("status") != "success":
            raise VeltFailed(f"velt: HTTP {status} without a result", retry_after)
        return answer

    def delete_user_data(self, users: Sequence[str], organizations: Sequence[str], deadline: Deadline) -> str:
        """Velt's deletion of all it has of people: the job that it gave it. Without organizations, in all."""
        bounds = {"organizationIds": list(organizations)} if organizations else {}
        found = self._ask(_USER_DATA_DELETE, {"userIds": list(users), **bounds}, deadline)
        job = found.get("jobId")
        if not isinstance(job, str) or not _JOB.fullmatch(job):
            raise VeltUnavailable("velt: an answer without a usable job")
        return job

    def is_user_data_deleted(self, job: str, deadline: Deadline) -> bool:
        return self._ask(_USER_DATA_STATUS, {"jobId": job}, deadline).get("isDeleteCompleted") is True

    def _ask(self, path: str, data: JSON, deadline: Deadline) -> JSON:
        """Of the endpoints that answer without the wrapping `result`; with it, they are understood too."""
        return _timed(self._asked, path, data, deadline)

    def _asked(self, path: str, data: JSON, deadline: Deadline) -> JSON:
        status, body, retry_after = self._exchange(path, orjson.dumps({"data": data}), deadline)
        answer = _parsed(body)
        if isinstance(error := answer.get("error"), dict):
            raise _failure(status, error, answer, retry_after)
        result = answer["result"] if isinstance(answer.get("result"), dict) else answer
        found = result.get("data")
        if not 200 <= status < 300 or not isinstance(found, dict):
            raise VeltFailed(f"velt: HTTP {status} without data", retry_after)
        return found

    def _exchange(self, path: str, body: bytes, deadline: Deadline) -> tuple[int, bytes, str | None]:
        """Status, body, and when to ask again."""
        if not self._is_equipped:
            raise VeltUnavailable("velt: this process has no VELT_AUTH_TOKEN")
        try:
            answer = self._http.call("POST", deadline, body, path)
        except ServiceUnreachable as error:
            raise VeltUnavailable(f"velt: {error.reason}") from error
        return answer.status, answer.body, _retry_after(answer.headers.get("retry-after"))


def _retry_after(given: str | None) -> str | None:
    """What may be passed on: whole seconds, or a date. Velt's own bytes would be a header of our reply."""
    return given if given and _RETRY_AFTER.fullmatch(given) else None


def _timed(call: Callable[[str, JSON, Deadline], JSON], path: str, data: JSON, deadline: Deadline) -> JSON:
    """Make a call, time it, and count how it ended."""
    started, outcome = time.perf_counter(), "ok"
    try:
        return call(path, data, deadline)
    except Exception as error:
        outcome = _outcome(error)
        raise
    finally:
        metrics.series(metrics.VELT, path, outcome).observe(time.perf_counter() - started)


def _outcome(error: Exception) -> str:
    if not isinstance(error, VeltRefused):
        return _UNREACHED
    if error.status in CREDENTIALS:
        return _REFUSES_US
    return "throttled" if error.status == THROTTLED else "refused"


def _parsed(body: bytes) -> JSON:
    """Parse an answer in bounded time: no deadline can interrupt a parser, so the size is checked first."""
    containers = body.count(b"{") + body.count(b"[")
    if containers > MOST_CONTAINERS:
        raise VeltFailed("velt: the answer is too large: it holds too many objects. Ask for smaller pages")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VeltFailed("velt: the answer is not JSON") from None
    if not isinstance(answer, dict) or (containers > DEEPEST and is_too_deep(answer, body)):
        raise VeltFailed("velt: the answer is not an object, or nested too deep")
    return answer


def _failure(http_status: int, error: JSON, answer: JSON, retry_after: str | None) -> Exception:
    """Branches on Velt's `error.status` first: it is the documented word, the HTTP status isn't."""
    status = THROTTLED if http_status == 429 else str(error.get("status"))
    # 408 is a server that gave up waiting, whatever it may have done meanwhile: no refusal.
    refused = 400 <= http_status < 500 and http_status != 408
    sent_as = http_status if refused else _REFUSALS.get(status)
    if sent_as is None:
        return VeltFailed(f"velt: {status[:40]} (HTTP {http_status})", retry_after)
    return VeltRefused(status, sent_as, answer, retry_after)
