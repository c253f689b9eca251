"""urllib3's connections, bounded by the deadline of the call that uses them.

urllib3 starts its time-outs anew with each system call. Here a call's TimeLimit shuts the connection down
when its deadline has passed, whatever the call is at: the TLS handshake, a proxy's answer, sending, reading.
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

# Linux closes an idle connection within 13 seconds of its peer's, or a firewall's, silent end.
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
    """One exchange, and what its connection needs to know of it."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.limit = deadline.enforced()
        self.has_connected = False
        """Whether it opened a connection, instead of using an idle one."""

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Bounds what urllib3 does in the block. Raises TimeoutError when the deadline has passed."""
        with self.limit:
            token = _CALL.set(self)
            try:
                yield
            finally:
                _CALL.reset(token)


_CALL: ContextVar[Call] = ContextVar("call")


class _Shutdown:
    """Ends a connection from another thread, by a file descriptor of its own: TLS takes a socket's away from
    it during the handshake, and a closed one's number may belong to another file by then. It is closed with
    the last reference, which the connection or a running call holds."""

    def __init__(self, duplicate: socket.socket) -> None:
        self._sock: socket.socket | None = duplicate

    def __call__(self) -> None:
        if sock := self._sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def handed_on(self) -> _Shutdown:
        """For the next call on the connection: the one before can't end it any more."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ServiceUnreachable("the connection is another call's")
        return _Shutdown(sock)

    def __del__(self) -> None:
        if self._sock:
            self._sock.close()


def _has_unread(sock: socket.socket | SSLTransport) -> bool:
    """What TLS has decrypted already is invisible to a poll of the socket."""
    if isinstance(sock, SSLTransport):  # TLS through a proxy that speaks TLS itself
        return bool(sock.incoming.pending or sock.sslobj.pending()) or _has_unread(sock.socket)
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


class _Connection(HTTPConnection):
    _shutdown: _Shutdown | None = None

    def _new_conn(self) -> socket.socket:
        """Called by urllib3 for a server or, where there is one, for the proxy."""
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
        """Whether an idle connection may be used again: it is open, and the server said nothing unasked."""
        return super().is_connected and not (self.sock and _has_unread(self.sock))

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self._shutdown:
            self._shutdown = self._shutdown.handed_on()
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
