"""Connections whose answers share one time budget.

A socket's timeout starts anew with every read, so a server that drips a byte now and then holds its caller
for as long as it likes, in the headers too. Here all reads of one answer, status line to end, together get
the time that the socket had when the answer began.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

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


class _Http(HTTPConnection):
    response_class = _Response


class _Https(HTTPSConnection):
    response_class = _Response


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


def pool_manager(connections: int, ca_file: str = "") -> PoolManager:
    """Certificates are always verified: against the system's authorities, or against those in this file."""
    manager = PoolManager(
        maxsize=connections,
        block=False,
        retries=False,
        ssl_context=ssl.create_default_context(cafile=ca_file or None),
    )
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager
