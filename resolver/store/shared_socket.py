"""A connected socket that one thread reads while another one writes.

The operating system permits that for a plain socket. OpenSSL doesn't: a TLS session takes one call at a time,
and each may have to wait for the network, so a reader that waited in such a call would keep the writer out.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from redis.connection import AbstractConnection

_Result = TypeVar("_Result")


class SharedSocket(Protocol):
    """What is used of a socket. Waits have no time-out: `shutdown` ends them."""

    def recv_into(self, buffer: bytearray, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...


def shared_socket(connection: AbstractConnection) -> SharedSocket:
    """The socket of a redis-py connection that has connected."""
    sock = connection._get_socket()
    if sock is None:
        raise OSError("not connected")
    if isinstance(sock, ssl.SSLSocket):
        return _SharedTLSSocket(sock)
    sock.settimeout(None)
    return sock


class _SharedTLSSocket:
    """Calls OpenSSL under a lock, and waits for the network without it."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lock = threading.Lock()

    def recv_into(self, buffer: bytearray, /) -> int:
        return self._repeat(lambda: self._sock.recv_into(buffer))

    def sendall(self, data: bytes, /) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._repeat(lambda: self._sock.send(rest)) :]  # noqa: B023 - called at once

    def shutdown(self, how: int, /) -> None:
        # Not its own method, which forgets the TLS session first: a send would go out in the clear then.
        socket.socket.shutdown(self._sock, how)

    def _repeat(self, call: Callable[[], _Result]) -> _Result:
        """Call until the network lets it finish."""
        while True:
            try:
                with self._lock:
                    return call()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        waiting = select.poll()
        waiting.register(self._sock, event)
        waiting.poll()
