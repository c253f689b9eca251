"""What every reply carries, and what is logged and counted of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from resolver import logs
from resolver.metrics import meters
from resolver.web.cors import Cors, Header

JSON_TYPE: Header = ("Content-Type", "application/json")
POLICY = "Content-Security-Policy"
SECURITY: tuple[Header, ...] = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    # Only `pages` are pages: any other reply that is opened as one runs no script and sends no referrer.
    (POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Reply(NamedTuple):
    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: tuple[Header, ...] = ()


def json_reply(payload: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """Bytes are JSON already."""
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Reply(body, status, (JSON_TYPE, *headers))


def finished(reply: Reply, request_id: str, cors: Cors | None, origin: str | None) -> Reply:
    """The reply with the headers that all have. `cors`: of data provider endpoints, which pages of other
    origins call."""
    own = reply.headers
    has_policy = any(name == POLICY for name, _ in own)
    security = [header for header in SECURITY if header[0] != POLICY] if has_policy else SECURITY
    of_cors = cors.headers(origin) if cors else ()
    return reply._replace(headers=(*own, ("X-Request-Id", request_id), *security, *of_cors))


def tell(surface: str, method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request, and log one line of it; who and what it was about is in the audit trail alone."""
    outcome = _outcome(status)
    meters.series(meters.REQUESTS, surface, outcome).observe(seconds)
    logs.bound.info(
        logs.REQUEST_LINE,
        surface=surface,
        method=method,
        route=route,
        status=status,
        outcome=outcome,
        ms=round(seconds * 1000, 2),
    )


def _outcome(status: int) -> str:
    match status:
        case 401 | 403:
            return "denied"
        case 429:
            return "limited"
        case 503:
            return "unavailable"
        case _:
            return "ok" if status < 400 else "invalid" if status < 500 else "failed"
