"""Parts of the description: JSON schemas from marshmallow schemas, bodies, replies, errors, headers."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema
from marshmallow.fields import Field, Nested

from resolver.validation.fields import Strict
from resolver.velt.schema import Request, UnknownKeys

JSON = dict[str, Any]


def schema_of(schema: Schema) -> JSON:
    fields = schema.fields
    required = [name for name, field in fields.items() if field.required]
    properties = {name: _field(field) for name, field in fields.items()}
    own = schema if isinstance(schema, Request) else None
    if own:
        properties |= {name: {"not": {}} for name in own.misplaced}
    refuses = own is not None and own.unknown_keys is UnknownKeys.REFUSED
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        **({"additionalProperties": False} if refuses else {}),
        **(own.between if own else {}),
    }


def _field(field: Field[Any]) -> JSON:
    if isinstance(field, Nested):
        return schema_of(field.schema)
    if not isinstance(field, Strict):
        raise TypeError(f"{field!r} has no description")
    return {"anyOf": [field.described, {"type": "null"}]} if field.allow_none else dict(field.described)


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
_MEANINGS = {
    400: "The request is invalid.",
    401: "The credential is missing or, on data provider endpoints, invalid.",
    403: "The credential is invalid or lacks the permission.",
    404: "The surface is closed here, or Velt doesn't have the item.",
    409: "The Idempotency-Key was used for another request.",
    413: "The body is too large.",
    415: "The content type isn't JSON.",
    429: "Too many calls.",
    500: "Internal error.",
    503: "Temporarily unavailable. Retry.",
}
REQUEST_ID: JSON = {
    "description": "The request's id, as in the logs: the one you sent, if it was well-formed.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,128}$"},
}
RETRY_AFTER: JSON = {
    "description": "Seconds until a retry makes sense.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
OVERLOAD_RETRY_AFTER: JSON = {
    "description": "Seconds until a retry makes sense; sent when large replies fill the memory for replies.",
    "schema": RETRY_AFTER["schema"],
}
VELT_RETRY_AFTER: JSON = {"description": "Velt's own value, if Velt sent one.", "schema": {"type": "string"}}


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
    """Describe an object with exactly these properties. A name that ends in `_` is optional."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if not name.endswith("_")],
        "properties": {name.rstrip("_"): schema for name, schema in properties.items()},
    }


def own_errors(*statuses: int) -> JSON:
    """Describe the resolver's own errors, in Velt's shape."""
    return {str(status): _failure(status, _velt_shape({"const": STATUSES[status]})) for status in statuses}


def mirror_errors(*statuses: int) -> JSON:
    """Describe errors that may be Velt's own, passed on unchanged: only their shape is known."""
    theirs = _velt_shape({"type": "string"}, more=True)
    replies = {str(status): _failure(status, theirs, VELT_RETRY_AFTER) for status in statuses}
    return {**replies, "4XX": reply("Velt's own error, unchanged.", theirs)}


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
    found = reply(f"{STATUSES[status]}. {_MEANINGS[status]}", schema)
    if status in (429, 503):
        given = retry_after if status == 429 else OVERLOAD_RETRY_AFTER
        found["headers"] = {**found["headers"], "Retry-After": given}
    return found
