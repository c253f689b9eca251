"""Connections to one server, kept open between calls, each answer under one time budget.

Sockets of our own that the standard library reads answers from: a pool that also repeats, redirects and
decodes costs more CPU than all else in a call, and none of that is wanted here.

A socket's timeout starts anew with every read, so a server that drips a byte now and then holds its caller
for as long as it likes, in the headers too. Here all reads of one answer, status line to end, together get
the time that the socket had when the answer began.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

_SHORTEST_WAIT = 0.001  # a timeout of 0 would mean "don't block", a negative one is an error


class _Budgeted(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb", buffering=0)
        self._ends = time.monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(max(_SHORTEST_WAIT, left))
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Budgeted(sock))


class Connection:
    """To one server, open, with at most one call under way."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def ask(self, method: str, request: bytes, until: float) -> http.client.HTTPResponse:
        """The answer's head; its body is read under what is left of the time (monotonic)."""
        self.sock.settimeout(max(_SHORTEST_WAIT, until - time.monotonic()))
        self.sock.sendall(request)
        self.sock.settimeout(max(_SHORTEST_WAIT, until - time.monotonic()))
        response = _Response(self.sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def is_quiet(self) -> bool:
        """A server that says something unasked has closed, as a rule."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self.sock.close()


class Connections:
    """Certificates are always verified: against the system's authorities, or against those in this file."""

    def __init__(self, url: str, most_idle: int, ca_file: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http(s) URL")
        self.host = parts.netloc.rpartition("@")[2]
        """As a request names it."""
        self._address = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        self._idle: deque[Connection] = deque(maxlen=most_idle)
        weakref.finalize(self, _close_all, self._idle)

    def take(self, connect_seconds: float) -> Connection:
        return self._kept() or self._opened(connect_seconds)

    def keep(self, connection: Connection) -> None:
        """For a next call: its answer was read to the end."""
        if len(self._idle) == self._idle.maxlen:
            connection.close()
        else:
            self._idle.append(connection)

    def _kept(self) -> Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def _opened(self, seconds: float) -> Connection:
        sock = socket.create_connection(self._address, seconds)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                # A name that ends in a dot is looked up as it is; certificates have none.
                sock = self._tls.wrap_socket(sock, server_hostname=self._address[0].rstrip("."))
        except BaseException:
            sock.close()
            raise
        return Connection(sock)


def _close_all(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.close()
