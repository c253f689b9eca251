"""urllib3 connections with a total deadline per call.

urllib3's time-outs start again with each system call. Here a TimeLimit shuts the connection down at the
call's deadline, in every phase: TLS handshake, proxy, sending, reading.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.connecting import connect

# With these, Linux closes an idle connection within 13 s after its peer or a firewall silently dropped it.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 6_000}
SOCKET_OPTIONS: list[tuple[int, int, int | bytes]] = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # Other systems lack some of these.
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _KEEP_ALIVE.items()
        if hasattr(socket, name)
    ),
]


class Call:
    """One exchange, as its connection needs to know it."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.limit = deadline.enforced()
        self.has_connected = False
        """Whether it opened a new connection instead of using an idle one."""

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Apply the deadline to urllib3 in the block. Raises TimeoutError when it has passed."""
        with self.limit:
            token = _CALL.set(self)
            try:
                yield
            finally:
                _CALL.reset(token)


_CALL: ContextVar[Call] = ContextVar("call")


class _Shutdown:
    """Ends a connection from another thread, through a duplicate of its file descriptor.

    The original is not safe: TLS takes it from the socket during the handshake, and after a close its number
    may belong to another file. The duplicate is closed with the last reference.
    """

    def __init__(self, duplicate: socket.socket) -> None:
        self._sock: socket.socket | None = duplicate

    def __call__(self) -> None:
        if sock := self._sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def transferred(self) -> _Shutdown:
        """Return a new one for the next call on the connection; this one can't end it any more."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ServiceUnreachable("the connection belongs to another call")
        return _Shutdown(sock)

    def __del__(self) -> None:
        if self._sock:
            self._sock.close()


def _has_unread(sock: socket.socket | SSLTransport) -> bool:
    """Whether TLS has decrypted data that a poll of the socket can't see."""
    if isinstance(sock, SSLTransport):  # TLS through a proxy that speaks TLS itself
        return bool(sock.incoming.pending or sock.sslobj.pending()) or _has_unread(sock.socket)
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


class _Connection(HTTPConnection):
    _shutdown: _Shutdown | None = None

    def _new_conn(self) -> socket.socket:
        """Connect to the server, or to the proxy if there is one. Called by urllib3."""
        call = _CALL.get()
        call.has_connected = True
        try:
            sock = connect(self._dns_host, self.port, call.deadline, self.socket_options or ())
            try:
                self._shutdown = _Shutdown(sock.dup())
            except OSError:
                sock.close()
                raise
        except (OSError, UnicodeError) as error:
            raise ServiceUnreachable(f"{'proxy: ' if self.proxy else ''}{type(error).__name__}") from error
        call.limit.ends(self._shutdown)
        return sock

    @property
    def is_connected(self) -> bool:
        """Whether an idle connection can be used again: it is open, and has no unexpected data."""
        return super().is_connected and not (self.sock and _has_unread(self.sock))

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self._shutdown:
            self._shutdown = self._shutdown.transferred()
            _CALL.get().limit.ends(self._shutdown)
        super().request(*args, **kwargs)

    def close(self) -> None:
        super().close()
        self._shutdown = None


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}
