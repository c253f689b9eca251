"""gunicorn's threads, taking turns: the worker class that `serving` names.

gthread hands every request from the thread that waits for sockets to one that serves, and back. Here the
thread that has the turn does both, so an ordinary request wakes nobody. What belongs to connections (the
poller, who is waited for, how many there are) is touched by whoever has the turn, and by nobody else; and
whoever has the turn waits for nothing but the poller, except while it serves.
"""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from resolver import aside
from resolver.client_socket import ClientSocket
from resolver.slow_senders import SlowSenders
from resolver.turn import Turn

_ROUND_SECONDS = 1.0
_LAST_ROUND_SECONDS = 0.1
_SENDING_SECONDS = 20.0
"""For a whole request."""
_TAKING_TIMEOUT = struct.pack("ll", 20, 0)
"""Seconds and microseconds, in which a client takes nothing of its answer."""
_LEAVING_SECONDS = 2.0
_STOPPING = {signal.SIGQUIT, signal.SIGINT, signal.SIGTERM, signal.SIGABRT}
_AT_ONCE = 64 * 1024
_MOST_ASIDE = 16


Served = list[tuple[Any, bool]]
"""Connections whose request was answered, and whether they are kept."""


class RequestLoop(ThreadWorker):  # type: ignore[misc]
    alive: bool

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._senders = SlowSenders()
        self._readable: deque[Any] = deque()
        self._leaving: deque[Any] = deque()
        self._listens = True
        self._is_over = False

    def init_process(self) -> None:
        # Not before: the master makes one of us for each process that it starts, and would keep the pipe.
        self._turn = Turn()
        super().init_process()

    def run(self) -> None:
        """In the process's first thread, which hears signals and looks after the others."""
        self.poller.register(self.method_queue.fileno(), EVENT_READ, self.method_queue.run_callbacks)
        self.set_accept_enabled(True)
        try:
            threads = self._start()
            while self.alive and self.is_parent_alive():
                self._look_after(threads, _ROUND_SECONDS)
            self.alive = False
            give_up = time.monotonic() + self.cfg.graceful_timeout
            while (self._listens or self.nr_conns > 0) and time.monotonic() < give_up:
                self._look_after(threads, _LAST_ROUND_SECONDS)
        finally:
            self._end()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._turn.wake()

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._senders.heard(conn, req)
        return super().handle_request(req, conn)

    def enqueue_req(self, conn: Any) -> None:
        if conn.initialized or conn.data_ready:
            self._readable.append(conn)
            return
        if not self.cfg.is_ssl:
            conn.sock = ClientSocket.taking_over(conn.sock)
        # It is new, and may never say a word: that should keep no thread.
        with suppress(OSError):  # some systems refuse it when the client is gone
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TAKING_TIMEOUT)
        seconds = max(self.cfg.keepalive, _SENDING_SECONDS)
        self._wait_for(conn, self.pending_conns, seconds, self.on_pending_socket_readable)

    def _start(self) -> list[Future[None]]:
        """Undisturbed: what handles QUIT would wait for a lock that this thread holds meanwhile."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            return [self.tpool.submit(self._take_turns) for _ in range(self.cfg.threads)]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _look_after(self, threads: Iterable[Future[None]], seconds: float) -> None:
        self.notify()
        for thread in threads:
            if thread.done():
                thread.result()  # it failed: the process is of no use, and ends with its error
        self._senders.cut_off(_SENDING_SECONDS)
        self._turn.look_after(seconds)

    def _end(self) -> None:
        self._is_over = True
        self._turn.close(self.cfg.threads)
        self.method_queue.defer(lambda: None)  # wakes who waits for requests
        self._senders.cut_off(0)

    def _take_turns(self) -> None:
        served: Served = []
        while self._turn.take():
            while not self._is_over and self._round(served):
                pass

    def _round(self, served: Served) -> bool:
        """False when the turn is another thread's now, which finds everything as it was left."""
        # One request of each: who sends many at once waits in line like the others.
        for _ in range(len(self._readable)):
            serve = partial(self._serve, self._readable.popleft(), served)
            # What TLS waits for isn't seen here, so nobody is left waiting for it.
            work = serve if self.cfg.is_ssl else partial(aside.begin, serve)
            if not self._keeps_turn(work, served):
                return False
            if aside.number() >= _MOST_ASIDE and not self._all_go_on(served):
                return False
        if not self._all_go_on(served):
            return False
        self._let_in()
        self.murder_keepalived()
        self.murder_pending()
        self._murder_leaving()
        seconds = _ROUND_SECONDS if self.alive else _LAST_ROUND_SECONDS
        self.wait_for_and_dispatch_events(0 if self._readable else seconds)
        return True

    def _keeps_turn(self, work: Callable[[], None], served: Served) -> bool:
        request = self._turn.begin()
        work()
        has_turn = self._turn.end(request)
        self._hand_over(served, has_turn=has_turn)
        while not has_turn and aside.number():  # before this thread gets in line
            aside.go_on()
            self._hand_over(served, has_turn=False)
        return has_turn

    def _all_go_on(self, served: Served) -> bool:
        """One after the other: each may lose the turn."""
        while aside.number():
            if not self._keeps_turn(aside.go_on, served):
                return False
        return True

    def _hand_over(self, served: Served, *, has_turn: bool) -> None:
        for conn, is_kept in served:
            if has_turn:
                self._finish(conn, is_kept)
            else:
                self.method_queue.defer(self._finish, conn, is_kept)
        served.clear()

    def _serve(self, conn: Any, served: Served) -> None:
        self._senders.begin(conn)
        is_kept = self._is_kept(conn)
        self._senders.end(conn)
        if aside.is_another_waiting():  # and this thread may not get back to here for long
            self.method_queue.defer(self._finish, conn, is_kept)
        else:
            served.append((conn, is_kept))

    def _is_kept(self, conn: Any) -> bool:
        """After it has been answered."""
        try:
            return bool(self.handle(conn))
        except Exception:
            self.log.exception("A request failed, and its error could not be answered.")
            return False

    def _finish(self, conn: Any, is_kept: bool) -> None:
        if not is_kept:
            self._leave(conn)
        elif _holds_more(conn):
            self._readable.append(conn)
        else:
            self._wait_for(conn, self.keepalived_conns, self.cfg.keepalive, self.on_client_socket_readable)

    def _leave(self, conn: Any) -> None:
        """Hears it out for a while: who still sends when its connection is closed loses the answer."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait_for(conn, self._leaving, _LEAVING_SECONDS, self._on_leaving_readable)

    def _on_leaving_readable(self, conn: Any, sock: socket.socket) -> None:
        with suppress(OSError):
            if sock.recv(_AT_ONCE):
                return
        self._leaving.remove(conn)
        self.poller.unregister(sock)
        self._close(conn)

    def _murder_leaving(self) -> None:
        while self._leaving and self._leaving[0].timeout <= time.monotonic():
            conn = self._leaving.popleft()
            self.poller.unregister(conn.sock)
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _wait_for(self, conn: Any, among: deque[Any], seconds: float, heard: Callable[..., None]) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (seconds if self.alive else min(seconds, STOP_KEEPALIVE_LINGER))
        among.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(heard, conn))

    def _let_in(self) -> None:
        """As many connections as there may be; nobody any more when the process is about to stop."""
        if self.alive:
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
        elif self._listens:
            self._stop_listening()

    def _stop_listening(self) -> None:
        """Otherwise the kernel goes on taking connections for as long as the last request lasts, and resets
        them all in the end."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            while self._accepts(listener):
                pass  # who is in the queue already is served
            listener.close()
        soon = time.monotonic() + STOP_KEEPALIVE_LINGER
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = min(conn.timeout, soon)
        self._listens = False

    def _accepts(self, listener: Any) -> bool:
        before = self.nr_conns
        with suppress(OSError):  # too many open files: there is nothing more to be had
            self.accept(listener)
        return bool(self.nr_conns > before)


def _holds_more(conn: Any) -> bool:
    """Of a next request, where the poller doesn't see it: read already, or opened by TLS."""
    pending = getattr(conn.sock, "pending", int)
    return bool(conn.parser.unreader.buf.getvalue() or pending())
