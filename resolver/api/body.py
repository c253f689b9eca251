"""The request's body as plain values, or a clear refusal."""

from __future__ import annotations

import json
from typing import Any

import orjson
from werkzeug import Request
from werkzeug.exceptions import HTTPException

from resolver.api.request import LARGEST_BODY
from resolver.errors import InvalidArgument, NotJson, TooLarge
from resolver.validation.json_limits import DEEPEST, is_too_deep
from resolver.velt.requests import belongs_in_data

JSON = dict[str, Any]
# Where a number can begin, and its digits: every one of either looks alike then.
_NUMBERS = bytes.maketrans(b" \t\r\n,[-123456789", b":" * 7 + b"0" * 9)
_MOST_BESIDE = 1000
"""Each is compared with the keys that would narrow the call."""
_LONG_NUMBER = b":" + b"0" * 19


def read_json(request: Request) -> JSON:
    """The JSON object in the body. Werkzeug's own reader is not used: it takes NaN, deep nesting and lone
    surrogates, all of which fail later and worse."""
    if request.mimetype != "application/json":
        raise NotJson()
    return parsed(_read(request))


def read_data(request: Request) -> Any:
    """The request that Velt's API wraps in `{"data": …}`."""
    return data_of(read_json(request))


def data_of(body: JSON) -> Any:
    """What Velt's API wraps in `{"data": …}`. Beside it, what should narrow the call would go unheard."""
    if "data" not in body:
        raise InvalidArgument("data is required")
    if len(body) > _MOST_BESIDE:
        raise TooLarge(f"At most {_MOST_BESIDE} keys may stand beside data.")
    for name in body if len(body) > 1 else ():
        if meant := belongs_in_data(name):
            raise InvalidArgument(f"{name[:64]} belongs in data, as {meant}")
    return body["data"]


def read_data_if_any(request: Request) -> Any:
    """For the one endpoint that needs neither body nor content type."""
    body = _read(request)
    return parsed(body).get("data", {}) if body else {}


def _read(request: Request) -> bytes:
    try:
        body = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - each server has its own word for malformed chunks or a client that is gone
        raise InvalidArgument("The body cannot be read.") from None
    if len(body) > LARGEST_BODY:
        raise TooLarge()
    return body


def parsed(body: bytes) -> JSON:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidArgument("The body is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidArgument("The body must be a JSON object.")
    # Fewer brackets than levels allowed: no need to walk.
    if body.count(b"{") + body.count(b"[") > DEEPEST and is_too_deep(parsed, body):
        raise InvalidArgument(f"The body is nested deeper than {DEEPEST} levels.")
    # Each key has a colon. With as many colons as there are keys, no key was given twice.
    if body.count(b":") > _number_of_keys(parsed) or _LONG_NUMBER in body.translate(_NUMBERS):
        json.loads(body, parse_int=_exact, object_pairs_hook=_said_once)
    return parsed


def _number_of_keys(parsed: JSON) -> int:
    """Count keys at every level; of a list, only those of the objects that stand in it directly."""
    number, level = 0, [parsed]
    while level:
        found = level.pop()
        number += len(found)
        for value in found.values():
            if isinstance(value, dict):
                level.append(value)
            elif isinstance(value, list):
                level.extend([item for item in value if isinstance(item, dict)])
    return number


def _exact(digits: str) -> int:
    """Of more than 64 bits, it would become a float, and another number, without a word."""
    if not -(2**63) <= (number := int(digits)) < 2**64:
        raise InvalidArgument("The body holds an integer of more than 64 bits.")
    return number


def _said_once(pairs: list[tuple[str, Any]]) -> JSON:
    """Of two values for one key the last would win here, and perhaps the first for whoever looked before."""
    said = dict(pairs)
    if len(said) < len(pairs):
        raise InvalidArgument("The body gives a key twice.")
    return said
