"""A plain HTTP server beside work that isn't HTTP's: for whoever asks a worker how it is.

It stands inside, and still nobody may hold it: a few requests at a time, each for a few seconds.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

import click

AT_ONCE = 16
LONGEST_SECONDS = 5.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = AT_ONCE
    _free = threading.Semaphore(AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # For all of it: a timeout of the socket's begins anew with each byte that drips in.
        end = threading.Timer(LONGEST_SECONDS, _cut_off, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of connections that break; the application answers for its own."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its parent has it
        """The application says what was asked."""


@contextmanager
def listening(address: str, application: WSGIApplication) -> Iterator[None]:
    """At `host:port`, until the block ends."""
    host, _, port = address.rpartition(":")
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host.strip("[]"), int(port), application, kind, _Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise click.ClickException(f"cannot listen on {address}: {error}") from None
    thread = threading.Thread(target=server.serve_forever, name="listening", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _cut_off(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
