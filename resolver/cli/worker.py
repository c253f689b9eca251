"""`resolver worker`: empty the outbox, carry out erasures, answer health checks.

Its HTTP server is limited, so that clients can't exhaust it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

import click

from resolver.app import create_app
from resolver.config import Settings, load
from resolver.errors import Unavailable
from resolver.ops import logs, multiprocess
from resolver.wiring import (
    build_eraser,
    build_finish_deletions,
    build_stores,
    build_trail,
    build_worker,
    note_signers,
)

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.5
AT_ONCE = 16
LONGEST_SECONDS = 5.0


@click.command()
@click.option("--bind", metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz at this address.")
@click.option("--parent", type=int, hidden=True, help="Stop when this process is no longer the parent.")
def worker(bind: str | None, parent: int | None) -> None:
    """Empty the outbox and carry out erasures until SIGTERM. `resolver serve` runs one beside the web unless
    RESOLVER_WORKER is `separate`; any number may run side by side."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    multiprocess.join()
    # Not an Event: a signal handler would deadlock if the main thread holds the event's lock.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in _STOPPING:
        signal.signal(number, lambda number, _frame: signals.put(number))
    with ExitStack() as stack:
        if bind:
            asked = create_app(replace(settings, surfaces=frozenset({"metrics"})))
            asked.extensions["resolver"].readiness.start()
            stack.enter_context(listening(bind, asked))
        ended_well = _work(settings, partial(_is_asked_to_stop, signals, parent))
    raise SystemExit(int(not ended_well))


def _is_asked_to_stop(signals: SimpleQueue[int], parent: int | None) -> bool:
    """Wait half a second for a signal. Also true when the parent has ended in any way."""
    with suppress(Empty):
        signals.get(timeout=_POLL_SECONDS)
        return True
    return parent is not None and os.getppid() != parent


def _work(settings: Settings, is_asked_to_stop: Callable[[], bool]) -> bool:
    """Work until asked to stop: return True. Return False if a thread ended by itself."""
    working = build_worker(settings)
    stores = build_stores(settings)
    with suppress(Unavailable):  # the next start, or an operator's command, notes the keys
        stores.history.note_key(next(iter(settings.master_keys)))
        note_signers(settings, stores)
    trail = build_trail(settings, stores)
    jobs = working, build_eraser(settings, stores, trail), build_finish_deletions(stores, trail)
    stop = threading.Event()
    threads = [_thread(job.run, stop) for job in jobs]
    while all(thread.is_alive() for thread in threads) and not stop.is_set():
        if is_asked_to_stop():
            stop.set()
    ended_well = stop.is_set()
    stop.set()
    working.wake()
    for thread in threads:
        thread.join()
    return ended_well


def _thread(run: Callable[[threading.Event], None], stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    return thread


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
        # Limits the whole request: a socket timeout starts again with each byte that arrives.
        end = threading.Timer(LONGEST_SECONDS, _cut_off, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections. The application handles its own errors."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its parent has it
        """Log nothing: the application logs requests."""


@contextmanager
def listening(address: str, application: WSGIApplication) -> Iterator[None]:
    """Serve the application at `host:port` until the block ends: few requests at once, each for seconds."""
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
