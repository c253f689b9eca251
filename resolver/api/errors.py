"""Render exceptions as replies, in one of two shapes.

Velt's shape is `{"error": {message, status}}`; the SDK's is `{"success": false, "statusCode", "message"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as NoSuchPath

from resolver.api.reply import Header, Reply, json_reply
from resolver.audit.event import Outcome
from resolver.audit.trail import AuditContext
from resolver.errors import (
    AuditUnavailable,
    InvalidArgument,
    NotFound,
    NotJson,
    Overloaded,
    ResolverError,
    StoreUnavailable,
    TooLarge,
    TooManyCalls,
    Unreadable,
    VeltRefused,
    VeltUnavailable,
)
from resolver.ops import metrics

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

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        super().__init__()
        self.allowed = tuple(allowed)


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


def reply_to(error: Exception, path: str, shape: Shape, audit: AuditContext | None) -> Reply:
    """Log an error, audit it, and render it in the surface's shape."""
    try:
        return _rendered(_audited(_known(error, path), audit), shape)
    except Exception as second:  # noqa: BLE001 - a failure while answering a failure needs the shape too
        return _rendered(_internal(second), shape)


def _rendered(error: ResolverError, shape: Shape) -> Reply:
    status = http_status(error)
    return json_reply(shape(error, status), status, _headers(error))


def _headers(error: ResolverError) -> tuple[Header, ...]:
    if isinstance(error, VeltRefused | TooManyCalls | Overloaded) and error.retry_after:
        return (("Retry-After", error.retry_after),)
    if isinstance(error, WrongMethod) and error.allowed:
        return (("Allow", ", ".join(sorted(error.allowed))),)
    return ()


def _known(error: Exception, path: str) -> ResolverError:
    match error:
        case Overloaded():
            metrics.REPLIES_REFUSED.labels(error.what).inc()
            _log.warning("unavailable", reason=error.reason)
        case StoreUnavailable() | VeltUnavailable() | AuditUnavailable():
            _log.warning("unavailable", reason=error.reason)
        case Unreadable():
            _log.error("unreadable")
        case HTTPException() if (error.code or 500) < 500:
            return _translated(error, path)
        case HTTPException():
            # Flask wraps an exception that was raised inside it.
            return _internal(getattr(error, "original_exception", None) or error)
    return error if isinstance(error, ResolverError) else _internal(error)


def _internal(error: Exception) -> ResolverError:
    # Log type and place, never the message: it may quote content.
    _log.error("internal_error", type=type(error).__name__, at=_place(error))
    return ResolverError()


def _audited(error: ResolverError, audit: AuditContext | None) -> ResolverError:
    """Audit an error, and return it; if that fails, return AuditUnavailable instead."""
    if audit is None:
        return error
    status = http_status(error)
    outcome: Outcome = "denied" if status in (401, 403) else "refused" if status < 500 else "failed"
    try:
        audit.fail(outcome, error.status[:40] if isinstance(error, VeltRefused) else error.code)
    except AuditUnavailable as unavailable:
        _log.error("audit_unavailable", reason=unavailable.reason)
        return unavailable
    return error


def _translated(error: HTTPException, path: str) -> ResolverError:
    match error:
        case NoSuchPath() if path.startswith("/v1/"):
            return NotFound(_V1)
        case NoSuchPath():
            return NotFound()
        case MethodNotAllowed():
            return WrongMethod(error.valid_methods or ())
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
