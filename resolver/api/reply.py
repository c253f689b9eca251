"""Replies: their headers, CORS included, and what is logged and counted of each."""

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
    """A body of many pieces, which are joined some at a time when they are sent: a large one is never in
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
    """Which web pages may call the data provider endpoints: an exact list of origins, never a pattern.

    `Vary: Origin` is on every reply, allowed or not, so that no cache hands one origin's reply to another.
    """

    origins: frozenset[str]
    credentials: bool
    """Whether a page may have the browser send its cookies along."""

    def headers(self, origin: str | None) -> list[Header]:
        found = [("Vary", "Origin")]
        if origin in self.origins:
            found += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]
            if self.credentials:
                found.append(("Access-Control-Allow-Credentials", "true"))
        return found

    def preflight(self, origin: str | None) -> list[Header]:
        """The headers that answer a browser's question before a call, beside those of every reply."""
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
    """The content security policy. Any reply but a page runs nothing when it is opened as one."""


def json_reply(payload: Any, status: int = 200, headers: tuple[Header, ...] = ()) -> Reply:
    """Bytes and pieces of bytes are JSON already."""
    if isinstance(payload, Spliced):
        return Reply(payload, status, (JSON_TYPE, ("Content-Length", str(payload.length)), *headers))
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Reply(body, status, (JSON_TYPE, *headers))


def size_of(reply: Reply) -> int:
    """In memory. What is made while it is sent counts as nothing."""
    match reply.body:
        case bytes():
            return len(reply.body)
        case Spliced():
            return reply.body.length
        case _:
            return 0


def headers_of(reply: Reply, request_id: str, cors: Cors | None, origin: str | None) -> list[Header]:
    """The reply's own headers and those that all have. `cors`: of data provider endpoints, which pages of
    other origins call."""
    own = [("X-Request-Id", request_id), ("Content-Security-Policy", reply.policy)]
    if isinstance(reply.body, bytes):
        own.append(("Content-Length", str(len(reply.body))))
    return [*reply.headers, *own, *_SECURITY, *(cors.headers(origin) if cors else ())]


def log_and_count(surface: str, method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request, and log one line of it; who and what it was about is in the audit trail alone."""
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
