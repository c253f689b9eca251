"""gunicorn's gevent worker, with limits for clients: time and number of connections.

It overrides methods of gunicorn's class; tests/ops/test_web_worker.py fails when one is renamed.
"""

from __future__ import annotations

import select
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from types import FrameType
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from resolver.ops import draining
from resolver.ops.client_connections import ClientConnections

_POLL_SECONDS = 0.5
_BACKLOG_SECONDS = 1.0
_HANDSHAKE_SECONDS = 0.1
"""How long a connection may take from its first packet until it waits to be accepted."""
_LAST_IDLE_SECONDS = 2.0
"""How long idle connections stay open at a stop without draining: a client may have just sent a request."""
_NEARLY_ALL = 0.9


class WebWorker(GeventWorker):  # type: ignore[misc]
    def run(self) -> None:
        most = int(self.worker_connections * _NEARLY_ALL)
        self._connections = ClientConnections(idle_seconds=self.cfg.keepalive, most=most)
        gevent.spawn(self._end_overdue)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        with self._connections.opened(client) as connection:
            try:
                connection.handshake()
            except OSError:
                connection.close()
            else:
                super().handle(listener, connection, addr)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        # gunicorn would interrupt the greenlet; `ClientConnections` ends its connection instead.
        return nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        if sock.begin_request():
            gevent.sleep(0)
        super().handle_request(listener_name, req, sock, addr)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # A signal handler must not wait.
        gevent.spawn(self._stop)

    def _stop(self) -> None:
        """Accept the connections in the kernel's queue, then stop: the kernel would reset them."""
        gevent.sleep(_HANDSHAKE_SECONDS)
        until = time.monotonic() + _BACKLOG_SECONDS
        with suppress(OSError, ValueError):  # closed already: this is the second signal
            while select.select(self.sockets, [], [], 0)[0] and time.monotonic() < until:
                gevent.sleep(0)
        self.alive = False

    def _end_overdue(self) -> None:
        while True:
            if not self.alive:
                self._connections.stop(0 if draining.is_under_way() else _LAST_IDLE_SECONDS)
            self._connections.end_overdue()
            gevent.sleep(_POLL_SECONDS)
