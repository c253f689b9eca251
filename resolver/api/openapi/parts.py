"""The parts that operations are put together from: bodies, replies, errors, headers."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_WHY = {
    400: "The request is not valid.",
    401: "A credential is missing or, on callbacks, doesn't hold.",
    403: "The credential doesn't hold, or holds no right to this.",
    404: "The surface is closed here, or Velt knows no such thing.",
    409: "The Idempotency-Key was used for another request.",
    413: "More bytes than are accepted.",
    415: "The body isn't declared as JSON.",
    429: "Too many calls.",
    500: "A mistake of the resolver's own.",
    503: "Something that mends itself is in the way: try again.",
}
REQUEST_ID: JSON = {
    "description": "Of this request, in the logs too; yours when you sent a well-formed one.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,128}$"},
}
RETRY_AFTER: JSON = {
    "description": "Seconds until it is worth trying.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
OVERLOAD_RETRY_AFTER: JSON = {
    "description": "Seconds until it is worth trying, when large replies fill the memory for replies.",
    "schema": RETRY_AFTER["schema"],
}
VELTS_RETRY_AFTER: JSON = {"description": "As Velt gave it, if it did.", "schema": {"type": "string"}}


def body(schema: JSON, example: Any, *, required: bool = True) -> JSON:
    return {
        "required": required,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def reply(
    description: str, schema: JSON, media_type: str = "application/json", *, example: Any = None
) -> JSON:
    shown = {} if example is None else {"example": example}
    return {
        "description": description,
        "headers": {"X-Request-Id": REQUEST_ID},
        "content": {media_type: {"schema": schema, **shown}},
    }


def closed(**properties: JSON) -> JSON:
    """An object of exactly these; a name that ends in `_` may be missing."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if not name.endswith("_")],
        "properties": {name.rstrip("_"): schema for name, schema in properties.items()},
    }


def own_errors(*statuses: int) -> JSON:
    """In Velt's shape, with the resolver's own words."""
    return {str(status): _failure(status, _velt_shape({"const": STATUSES[status]})) for status in statuses}


def mirror_errors(*statuses: int) -> JSON:
    """Of Velt's own refusals, passed on unchanged, only the shape is known; more than these may come."""
    theirs = _velt_shape({"type": "string"}, more=True)
    replies = {str(status): _failure(status, theirs, VELTS_RETRY_AFTER) for status in statuses}
    return {**replies, "4XX": reply("Velt's own refusal, unchanged.", theirs)}


def _velt_shape(status: JSON, *, more: bool = False) -> JSON:
    return closed(error={**closed(message={"type": "string"}, status=status), "additionalProperties": more})


def callback_errors(*statuses: int) -> JSON:
    return {
        str(status): _failure(
            status,
            closed(success={"const": False}, statusCode={"const": status}, message={"type": "string"}),
        )
        for status in statuses
    }


def _failure(status: int, schema: JSON, retry_after: JSON = RETRY_AFTER) -> JSON:
    found = reply(f"{STATUSES[status]}. {_WHY[status]}", schema)
    if status in (429, 503):
        given = retry_after if status == 429 else OVERLOAD_RETRY_AFTER
        found["headers"] = {**found["headers"], "Retry-After": given}
    return found
