"""What every reply carries, and what is logged and counted of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from resolver.api.cors import Cors, Header
from resolver.ops import logs, metrics

_SENT_AT_ONCE = 256 * 1024
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
    return [*reply.headers, *own, *_SECURITY, *(cors.headers(origin) if cors else ())]


def tell(surface: str, method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request, and log one line of it; who and what it was about is in the audit trail alone."""
    outcome = _outcome(status)
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
