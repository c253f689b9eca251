"""Calls to other services, bounded in time and size.

Redirects are not followed: they would carry credentials to another host, and a key set would come from
somebody else. Nothing is repeated: whether a call may be made twice is the business of who makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import urllib3
from urllib3.exceptions import HTTPError

from resolver.errors import Unanswered
from resolver.outbound.wire import pool_manager

_CONNECT_SECONDS = 1.0
_CHUNK = 64 * 1024


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


class Caller:
    """One pool of connections, for one service."""

    def __init__(self, connections: int, largest_answer: int, ca_file: str = "") -> None:
        self._pool = pool_manager(connections, ca_file)
        self._largest = largest_answer

    def call(
        self, method: str, url: str, headers: Mapping[str, str], seconds: float, body: bytes | None = None
    ) -> Answer:
        """Whatever was answered within the time; Unanswered when nothing was, or too much."""
        if seconds <= 0:
            raise Unanswered("no time left")
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), total=seconds),
            )
            return Answer(response.status, self._read(response), response.headers)
        except (HTTPError, OSError, ValueError) as error:
            raise Unanswered(type(error).__name__) from error

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """At most so many bytes; a connection that wasn't read to its end isn't used again."""
        chunks, size = [], 0
        try:
            while chunk := response.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > self._largest:
                    response.close()
                    raise Unanswered("the answer is too large")
        finally:
            response.release_conn()
        return b"".join(chunks)
