"""One exception tree, two shapes: what each kind of caller gets to see of a failure.

Velt's shape is `{"error": {message, status}}`; the SDK's is `{"success": false, "statusCode", "message"}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as NoSuchPath

from resolver.audit.event import Outcome
from resolver.errors import (
    AuditUnavailable,
    InvalidArgument,
    NotFound,
    NotJson,
    ResolverError,
    TooLarge,
    TooManyCalls,
    Unreadable,
    VaultUnavailable,
    VeltRefused,
    VeltUnavailable,
)
from resolver.web.request import attempt_if_any

JSON = dict[str, Any]
Shape = Callable[[ResolverError, int], JSON]

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
_V1 = "Velt's v1 API is not mirrored here: use the v2 path, such as /v2/notifications/add."
_log = structlog.get_logger(__name__)


class WrongMethod(InvalidArgument):
    message = "This path takes another method."


def velt_shape(error: ResolverError, _http_status: int) -> JSON:
    if isinstance(error, VeltRefused):
        return error.payload
    return {"error": {"message": error.message, "status": error.code}}


def callback_shape(error: ResolverError, http_status: int) -> JSON:
    return {"success": False, "statusCode": http_status, "message": error.message}


def http_status(error: ResolverError) -> int:
    match error:
        case VeltRefused():
            return error.http_status
        case NotJson():
            return 415
        case TooLarge():
            return 413
        case WrongMethod():
            return 405
        case _:
            return _STATUS[error.code]


def json_reply(payload: Any, status: int = 200) -> Response:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Response(body, status, content_type="application/json")


def register(app: Flask, shape_of: Callable[[str], Shape]) -> None:
    """Every failure of every path is rendered here, in the shape of the surface that the path belongs to."""

    def render(error: ResolverError) -> Response:
        error = _on_record(error)
        status = http_status(error)
        reply = json_reply(shape_of(request.path)(error, status), status)
        if isinstance(error, VeltRefused | TooManyCalls) and error.retry_after:
            reply.headers["Retry-After"] = error.retry_after
        return reply

    @app.errorhandler(ResolverError)
    def ours(error: ResolverError) -> Response:
        if isinstance(error, VaultUnavailable | VeltUnavailable | AuditUnavailable):
            _log.warning("unavailable", reason=error.reason)
        elif isinstance(error, Unreadable):
            _log.error("unreadable")
        return render(error)

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        # The type and place, never the message: it may quote content.
        _log.error("internal_error", type=type(error).__name__, at=_place(error))
        return render(ResolverError())

    @app.errorhandler(HTTPException)
    def flasks(error: HTTPException) -> Response:
        if (error.code or 500) >= 500:
            # Flask's wrapping of something that went wrong while an error was being rendered.
            return unforeseen(getattr(error, "original_exception", None) or error)
        reply = render(_translated(error))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            reply.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return reply


def _on_record(error: ResolverError) -> ResolverError:
    """What is answered: the error, or that it can't be put on record."""
    attempt = attempt_if_any()
    if attempt is None:
        return error
    status = http_status(error)
    outcome: Outcome = "denied" if status in (401, 403) else "refused" if status < 500 else "failed"
    try:
        attempt.ended(outcome, error.status[:40] if isinstance(error, VeltRefused) else error.code)
    except AuditUnavailable as unavailable:
        _log.error("audit_unavailable", reason=unavailable.reason)
        return unavailable
    return error


def _translated(error: HTTPException) -> ResolverError:
    match error:
        case NoSuchPath() if request.path.startswith("/v1/"):
            return NotFound(_V1)
        case NoSuchPath():
            return NotFound()
        case MethodNotAllowed():
            return WrongMethod()
        case RequestEntityTooLarge():
            return TooLarge()
        case _:
            return InvalidArgument()


def _place(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown"
    return f"{traceback.tb_frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno}"
