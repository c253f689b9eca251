"""Which web pages may call the callbacks: an exact list of origins, never a pattern.

`Vary: Origin` is on every reply, allowed or not, so that no cache hands one origin's reply to another.
"""

from __future__ import annotations

from flask import Response

_METHODS = "POST"
_HEADERS = "authorization, content-type"
_EXPOSED = "x-request-id, retry-after"
_MAX_AGE_SECONDS = "600"


def add_headers(response: Response, origin: str | None, allowed: frozenset[str]) -> Response:
    response.headers.add("Vary", "Origin")
    if origin in allowed:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    return response


def preflight(origin: str | None, allowed: frozenset[str]) -> Response:
    response = Response(status=204)
    if origin in allowed:
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _HEADERS
        response.headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
    return response
