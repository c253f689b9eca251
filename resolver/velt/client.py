"""Client of Velt's API: endpoints, credentials, and answers as values or typed errors.

Only this module adds our credentials.
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
from resolver.validation.json_limits import DEEPEST, MAX_CONTAINERS, is_too_deep

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


# Refusals that another attempt doesn't change. Any other may come from a proxy between us and Velt.
FINAL = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND", "ALREADY_EXISTS"})
# Refusals of our credentials: after a token was reset, Velt refuses every command.
CREDENTIALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
# The id of a job is put into a signed erasure certificate, so it must be short and plain.
_JOB = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_RETRY_AFTER = re.compile(
    r"[0-9]{1,9}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_CREDENTIALS_REFUSED, _UNREACHABLE = "credentials", "unreached"


class VeltEndpoint(StrEnum):
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
        """Without an auth token, nothing is sent: every call raises VeltUnavailable."""
        self._has_token = auth_token is not None
        headers = {
            "content-type": "application/json",
            "x-velt-api-key": api_key.reveal(),
            "x-velt-auth-token": auth_token.reveal() if auth_token else "",
        }
        self._http = HttpClient(
            url, headers, connections=connections, largest_answer=_LARGEST_ANSWER, outbound=outbound
        )
        for path in (*VeltEndpoint, _USER_DATA_DELETE, _USER_DATA_STATUS):
            # Create the series with 0, so that an alert sees the first increase.
            for outcome in (_CREDENTIALS_REFUSED, _UNREACHABLE):
                metrics.VELT.labels(path, outcome)

    def post(self, endpoint: VeltEndpoint, data: JSON, deadline: Deadline) -> JSON:
        """Call an endpoint, and return Velt's whole successful answer, `{"result": …}`.

        Raises VeltRefused for a refusal, VeltFailed for a failure that Velt answered, and VeltUnavailable
        when there is no answer.
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
        """Have Velt delete all data of users, in these organizations or (empty) in all. Returns the job's
        id."""
        bounds = {"organizationIds": list(organizations)} if organizations else {}
        found = self._post_user_data(_USER_DATA_DELETE, {"userIds": list(users), **bounds}, deadline)
        job = found.get("jobId")
        if not isinstance(job, str) or not _JOB.fullmatch(job):
            raise VeltUnavailable("velt: an answer without a usable job")
        return job

    def is_user_data_deleted(self, job: str, deadline: Deadline) -> bool:
        return (
            self._post_user_data(_USER_DATA_STATUS, {"jobId": job}, deadline).get("isDeleteCompleted") is True
        )

    def _post_user_data(self, path: str, data: JSON, deadline: Deadline) -> JSON:
        """Call an endpoint for user data, which answers without the wrapping `result`, or with it."""
        return _timed(self._user_data_answer, path, data, deadline)

    def _user_data_answer(self, path: str, data: JSON, deadline: Deadline) -> JSON:
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
        """Send a request; returns status, body and Retry-After."""
        if not self._has_token:
            raise VeltUnavailable("velt: this process has no VELT_AUTH_TOKEN")
        try:
            answer = self._http.call("POST", deadline, body, path)
        except ServiceUnreachable as error:
            raise VeltUnavailable(f"velt: {error.reason}") from error
        return answer.status, answer.body, _retry_after(answer.headers.get("retry-after"))


def _retry_after(given: str | None) -> str | None:
    """Validate a Retry-After, since it becomes a header of our reply: whole seconds or a date, else None."""
    return given if given and _RETRY_AFTER.fullmatch(given) else None


def _timed(call: Callable[[str, JSON, Deadline], JSON], path: str, data: JSON, deadline: Deadline) -> JSON:
    """Make a call, and record its time and outcome."""
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
        return _UNREACHABLE
    if error.status in CREDENTIALS:
        return _CREDENTIALS_REFUSED
    return "throttled" if error.status == THROTTLED else "refused"


def _parsed(body: bytes) -> JSON:
    """Parse an answer. Its size is checked first, since no deadline can interrupt the parser."""
    containers = body.count(b"{") + body.count(b"[")
    if containers > MAX_CONTAINERS:
        raise VeltFailed("velt: the answer is too large: it holds too many objects. Ask for smaller pages")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VeltFailed("velt: the answer is not JSON") from None
    if not isinstance(answer, dict) or (containers > DEEPEST and is_too_deep(answer)):
        raise VeltFailed("velt: the answer is not an object, or nested too deep")
    return answer


def _failure(http_status: int, error: JSON, answer: JSON, retry_after: str | None) -> Exception:
    """Make the exception for an error, by Velt's documented `error.status` rather than the HTTP status."""
    status = THROTTLED if http_status == 429 else str(error.get("status"))
    # 408 is no refusal: the server timed out, and may have carried out the call.
    refused = 400 <= http_status < 500 and http_status != 408
    sent_as = http_status if refused else _REFUSALS.get(status)
    if sent_as is None:
        return VeltFailed(f"velt: {status[:40]} (HTTP {http_status})", retry_after)
    return VeltRefused(status, sent_as, answer, retry_after)
