"""Replies: bodies, headers (CORS included), and the log line and metrics of each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from resolver.ops import logs, metrics

Header = tuple[str, str]
_SENT_AT_ONCE = 256 * 1024
_METHODS = "POST"
_HEADERS = "authorization, content-type"
_EXPOSED = "x-request-id, retry-after"
_MAX_AGE_SECONDS = "600"
_OUTCOMES = {401: "denied", 403: "denied", 429: "limited", 503: "unavailable"}
JSON_TYPE: Header = ("Content-Type", "application/json")
_SECURITY: tuple[Header, ...] = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Spliced:
    """A body of many pieces that are joined a few at a time while sending, so that a large body is never in
    memory twice."""

    def __init__(self, pieces: list[bytes | memoryview]) -> None:
        self._pieces = pieces
        self.length = sum(map(len, pieces))

    def __iter__(self) -> Iterator[bytes]:
        self._pieces.reverse()
        while self._pieces:
            yield b"".join(self._next())

    def _next(self) -> Iterator[bytes | memoryview]:
        size = 0
        while self._pieces and size < _SENT_AT_ONCE:
            piece = self._pieces.pop()
            size += len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class Cors:
    """The web pages that may call the data provider endpoints: a list of exact origins, without patterns.

    Every reply has `Vary: Origin`, allowed or not, so that no cache returns one origin's reply to another.
    """

    origins: frozenset[str]
    credentials: bool
    """Whether pages may send cookies."""

    def headers(self, origin: str | None) -> list[Header]:
        found = [("Vary", "Origin")]
        if origin in self.origins:
            found += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]
            if self.credentials:
                found.append(("Access-Control-Allow-Credentials", "true"))
        return found

    def preflight(self, origin: str | None) -> list[Header]:
        """Build the additional headers of a preflight's reply."""
        if origin not in self.origins:
            return []
        return [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _HEADERS),
            ("Access-Control-Max-Age", _MAX_AGE_SECONDS),
        ]


class Reply(NamedTuple):
    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: tuple[Header, ...] = ()
    policy: str = "default-src 'none'; frame-ancestors 'none'"
    """The content security policy. By default nothing runs when the reply is opened as a page."""


def json_reply(payload: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """Build a JSON reply. Bytes and `Spliced` are JSON already."""
    if isinstance(payload, Spliced):
        return Reply(payload, status, (JSON_TYPE, ("Content-Length", str(payload.length)), *headers))
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Reply(body, status, (JSON_TYPE, *headers))


def size_of(reply: Reply) -> int:
    """Return a body's size in memory. A body that is generated while sending counts as 0."""
    match reply.body:
        case bytes():
            return len(reply.body)
        case Spliced():
            return reply.body.length
        case _:
            return 0


def headers_of(reply: Reply, request_id: str, cors: Cors | None, origin: str | None) -> list[Header]:
    """Combine a reply's own headers with those of every reply, and with CORS headers if there are any."""
    own = [("X-Request-Id", request_id), ("Content-Security-Policy", reply.policy)]
    if isinstance(reply.body, bytes):
        own.append(("Content-Length", str(len(reply.body))))
    return [*reply.headers, *own, *_SECURITY, *(cors.headers(origin) if cors else ())]


def log_and_count(surface: str, method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request and log one line, without caller or ids: those belong in the audit trail."""
    outcome = _OUTCOMES.get(status) or ("ok" if status < 400 else "invalid" if status < 500 else "failed")
    metrics.series(metrics.REQUESTS, surface, outcome).observe(seconds)
    logs.bound.info(
        logs.REQUEST_LINE,
        surface=surface,
        method=method,
        route=route,
        status=status,
        outcome=outcome,
        ms=round(seconds * 1000, 2),
    )
