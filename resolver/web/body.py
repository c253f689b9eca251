"""The request's body as plain values, or a clear refusal."""

from __future__ import annotations

from typing import Any

import orjson
from flask import request

from resolver.errors import InvalidArgument, NotJson

JSON = dict[str, Any]
LARGEST_BODY = 1024 * 1024
DEEPEST = 64


def read_json() -> JSON:
    """The JSON object in the body. Flask's own reader is not used: it takes NaN, deep nesting and lone
    surrogates, all of which fail later and worse."""
    if request.mimetype != "application/json":
        raise NotJson()
    return _parsed(request.get_data(cache=False))


def read_data(*, optional: bool = False) -> Any:
    """What Velt's API wraps in `{"data": …}`."""
    if optional and not request.content_length and "transfer-encoding" not in request.headers:
        return {}
    body = read_json()
    if "data" not in body and not optional:
        raise InvalidArgument("data is required")
    return body.get("data", {})


def _parsed(body: bytes) -> JSON:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidArgument("The body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidArgument("The body must be a JSON object.")
    # Fewer brackets than levels allowed: no need to walk.
    if body.count(b"{") + body.count(b"[") > DEEPEST:
        _refuse_deep(parsed)
    return parsed


def _refuse_deep(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise InvalidArgument(f"The body is nested deeper than {DEEPEST} levels.")


def _children(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, dict | list)]
