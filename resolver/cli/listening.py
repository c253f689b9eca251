"""A plain HTTP server beside work that isn't HTTP's: for whoever asks a worker how it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

import click


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[int] = 5
    """Seconds: who connects and says nothing holds a thread no longer."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its parent has it
        """The application says what was asked."""


@contextmanager
def listening(address: str, application: WSGIApplication) -> Iterator[None]:
    """At `host:port`, until the block ends."""
    host, _, port = address.rpartition(":")
    try:
        server = make_server(host.strip("[]"), int(port), application, _Server, _Handler)
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
