"""A small HTTP/1.1 server: keep-alive, a thread per connection, silent, and able to hang up rudely.

Werkzeug's own server closes every connection after one answer, and neither it nor wsgiref can drop
one without an answer. Both matter to a client whose connection pool is under test.
"""

import socket
import sys
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any

from flask import Flask

from resolver.sandbox.connection import AppServer, Connection

_POLL_SECONDS = 0.02


class RunningSandbox:
    """A sandbox that serves in the background until `stop()`, or until its `with` block ends."""

    def __init__(self, server: "_Server") -> None:
        host, port = server.server_address[:2]
        self.url = f"http://{host!s}:{port}"
        self._server = server
        self._thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "RunningSandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(app: Flask, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
    """Serve `app` from a background thread. Port 0 takes a free one; `url` says which."""
    return RunningSandbox(_Server(app, host, port))


class _Server(ThreadingMixIn, AppServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self.app = app
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        super().__init__((host, port), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep alive, which would outlive the server."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is a bug and shows."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
