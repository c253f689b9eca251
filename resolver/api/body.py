"""Parse and check request bodies. Raises InvalidArgument, NotJson, TooLarge."""

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
# Maps each byte before a number to ":" and each digit to "0", so that one search finds long numbers.
_NUMBERS = bytes.maketrans(b" \t\r\n,[-123456789", b":" * 7 + b"0" * 9)
_MOST_BESIDE = 1000
"""Limits the work: each of these keys is compared with those that belong in `data`."""
_LONG_NUMBER = b":" + b"0" * 19


def read_json(request: Request) -> JSON:
    """Parse the body as a JSON object. Werkzeug's own parser accepts NaN, deep nesting and lone surrogates,
    which would fail later, as internal errors."""
    if request.mimetype != "application/json":
        raise NotJson()
    return parsed(_read(request))


def read_data(request: Request) -> Any:
    """Parse the body and return its `data`."""
    return data_of(read_json(request))


def data_of(body: JSON) -> Any:
    """Return `data`. Refuse keys beside it that belong in it: ignored, they would widen the call."""
    if "data" not in body:
        raise InvalidArgument("data is required")
    if len(body) > _MOST_BESIDE:
        raise TooLarge(f"At most {_MOST_BESIDE} keys may stand beside data.")
    for name in body if len(body) > 1 else ():
        if meant := belongs_in_data(name):
            raise InvalidArgument(f"{name[:64]} belongs in data, as {meant}")
    return body["data"]


def read_data_if_any(request: Request) -> Any:
    """Return `data`, or {} without a body: one endpoint needs neither body nor content type."""
    body = _read(request)
    return parsed(body).get("data", {}) if body else {}


def _read(request: Request) -> bytes:
    try:
        body = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - servers differ in what they raise for malformed chunks, closed connections
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
    # With fewer brackets than allowed levels it can't be too deep: skip the walk.
    if body.count(b"{") + body.count(b"[") > DEEPEST and is_too_deep(parsed):
        raise InvalidArgument(f"The body is nested deeper than {DEEPEST} levels.")
    # Each key has a colon: with no more colons than keys, no key is repeated.
    colons = body.count(b":")
    may_repeat = colons > len(parsed) and colons > _number_of_keys(parsed)
    if may_repeat or _LONG_NUMBER in body.translate(_NUMBERS):
        json.loads(body, parse_int=_exact, object_pairs_hook=_unique_keys)
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
    """Refuse integers of more than 64 bits: orjson silently turns them into floats, another number."""
    if not -(2**63) <= (number := int(digits)) < 2**64:
        raise InvalidArgument("The body holds an integer of more than 64 bits.")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> JSON:
    """Refuse repeated keys: a proxy that inspects the body may use the first value, we would use the last."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise InvalidArgument("The body gives a key twice.")
    return unique
