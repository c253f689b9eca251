"""Calls to another service, bounded in time and size.

Redirects are not followed: they would carry credentials to another host, and a key set would come from
somebody else. Nothing is repeated: whether a call may be made twice is the business of who makes it.
"""

from __future__ import annotations

import http.client
import re
import time
import zlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from resolver import __version__, turn
from resolver.errors import Unanswered
from resolver.outbound.wire import Connections

_CONNECT_SECONDS = 1.0
_CHUNK = 64 * 1024
# Whoever could put one into a header could write a request of their own.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_GZIP = 16 + zlib.MAX_WBITS
_USER_AGENT = f"velt-notification-resolver/{__version__}"


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: http.client.HTTPMessage


class Caller:
    """Of one service: the path of its URL is what paths of calls begin with."""

    def __init__(self, url: str, connections: int, largest_answer: int, ca_file: str = "") -> None:
        self._connections = Connections(url, connections, ca_file)
        parts = urlsplit(url)
        self._base = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
        self._largest = largest_answer

    def call(
        self,
        method: str,
        headers: Mapping[str, str],
        seconds: float,
        body: bytes | None = None,
        path: str = "",
    ) -> Answer:
        """Whatever was answered within the time; Unanswered when nothing was, or too much."""
        if seconds <= 0:
            raise Unanswered("no time left")
        turn.pass_on()
        try:
            return self._exchange(method, self._base + path or "/", headers, seconds, body)
        except (http.client.HTTPException, OSError, ValueError, zlib.error) as error:
            raise Unanswered(type(error).__name__) from error

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], seconds: float, body: bytes | None
    ) -> Answer:
        until = time.monotonic() + seconds
        request = self._written(method, target, headers, body)
        connection = self._connections.take(min(_CONNECT_SECONDS, seconds))
        try:
            with connection.ask(method, request, until) as response:
                answer = Answer(response.status, self._read(response), response.headers)
        except BaseException:
            # Whatever is still on its way would be the next call's answer.
            connection.close()
            raise
        if response.will_close or answer.status < 200:  # after an interim answer comes another
            connection.close()
        else:
            self._connections.keep(connection)
        return answer

    def _written(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """One piece, to be sent at once."""
        lines = [
            f"{method} {target} HTTP/1.1",
            f"host: {self._connections.host}",
            f"user-agent: {_USER_AGENT}",
            "accept-encoding: identity",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        if " " in target or any(_CONTROL.search(line) for line in lines):
            raise ValueError("not a request")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """At most so many bytes, as they are and unpacked."""
        chunks, size = [], 0
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._largest:
                raise Unanswered("the answer is too large")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        body = b"".join(chunks)
        return self._unpacked(body) if response.headers.get("content-encoding") == "gzip" else body

    def _unpacked(self, body: bytes) -> bytes:
        """Not asked for, but some stores of files send what they hold."""
        unpacking = zlib.decompressobj(_GZIP)
        unpacked = unpacking.decompress(body, self._largest + 1)
        if len(unpacked) > self._largest or not unpacking.eof:
            raise Unanswered("the answer is too large, or cut off")
        return unpacked
