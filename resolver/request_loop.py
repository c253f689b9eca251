"""gunicorn's threads, taking turns: the worker class that `serving` names.

gthread hands every request from the thread that waits for sockets to one that serves, and back. Here the
thread that has the turn does both, so an ordinary request wakes nobody. What belongs to connections (the
poller, who is kept alive, how many there are) is touched by whoever has the turn, and by nobody else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from types import FrameType
from typing import Any, NamedTuple

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from resolver.turn import Turn

_ROUND_SECONDS = 1.0
_LAST_ROUND_SECONDS = 0.1


class _Served(NamedTuple):
    """What gthread has a future for."""

    kept: bool

    def cancelled(self) -> bool:
        return False

    def result(self) -> bool:
        return self.kept


class RequestLoop(ThreadWorker):  # type: ignore[misc]
    alive: bool

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._turn = Turn()
        self._readable: deque[Any] = deque()
        self._lets_nobody_in = False
        self._is_over = False

    def run(self) -> None:
        """In the process's first thread, which hears signals and looks after the others."""
        self.poller.register(self.method_queue.fileno(), EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        threads = [self.tpool.submit(self._take_turns) for _ in range(self.cfg.threads)]
        while self.alive and self.is_parent_alive() and not _failed(threads):
            self._look_after(_ROUND_SECONDS)
        self.alive = False
        give_up = time.monotonic() + self.cfg.graceful_timeout
        while self.nr_conns > 0 and time.monotonic() < give_up:
            self._look_after(_LAST_ROUND_SECONDS)
        self._end()
        self.tpool.shutdown(wait=False)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._turn.wake()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self._end()
        super().handle_quit(sig, frame)

    def enqueue_req(self, conn: Any) -> None:
        if conn.initialized or conn.data_ready or not self.alive:
            self._readable.append(conn)
            return
        # It is new, and may never say a word: that should keep no thread.
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def set_accept_enabled(self, enabled: bool) -> None:
        """What stops accepting for good stops listening too. Otherwise the kernel goes on taking connections
        for as long as the last request lasts, and resets them all in the end."""
        super().set_accept_enabled(enabled)
        if self.alive or enabled:
            return
        for listener in self.sockets:
            while self._accepts(listener):
                pass  # who is in the queue already is served
            listener.close()

    def _accepts(self, listener: Any) -> bool:
        before = self.nr_conns
        self.accept(listener)
        return bool(self.nr_conns > before)

    def _look_after(self, seconds: float) -> None:
        self.notify()
        self._turn.look_after(seconds)

    def _end(self) -> None:
        self._is_over = True
        self._turn.close(self.cfg.threads)
        self.method_queue.defer(lambda: None)  # wakes who waits for requests

    def _take_turns(self) -> None:
        while self._turn.take():
            while not self._is_over and self._round():
                pass

    def _round(self) -> bool:
        """False when the turn is another thread's now, which finds everything as it was left."""
        while self._readable:
            if not self._serve(self._readable.popleft()):
                return False
        self._let_in()
        self.murder_keepalived()
        self.murder_pending()
        self.wait_for_and_dispatch_events(_ROUND_SECONDS if self.alive else _LAST_ROUND_SECONDS)
        return True

    def _serve(self, conn: Any) -> bool:
        request = self._turn.begin()
        served = _Served(self.handle(conn))
        if self._turn.end(request):
            self.finish_request(conn, served)
            return True
        self.method_queue.defer(self.finish_request, conn, served)
        return False

    def _let_in(self) -> None:
        """As many connections as there may be; nobody any more when the process is about to stop."""
        if self.alive:
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
        elif not self._lets_nobody_in:
            self._lets_nobody_in = True
            self.set_accept_enabled(False)
            self._cap_keepalive(time.monotonic() + STOP_KEEPALIVE_LINGER)


def _failed(threads: Iterable[Future[None]]) -> bool:
    """One that ended: the process is of no use, and says so by ending too."""
    return any(thread.done() for thread in threads)
