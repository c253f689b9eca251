"""A proxy in front of Redis that runs an action between two messages of a client: every interleaving, no
sleeps."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from unittest.mock import patch
from urllib.parse import urlsplit

from resolver.store import connect

Action = Callable[[], object]
_PATIENCE_SECONDS = 30.0


@dataclass
class Boundaries:
    """Stands between a client and its Redis, and runs actions before the client's n-th message goes on."""

    url: str = ""
    actions: dict[int, Action] = field(default_factory=dict)
    messages: int = 0
    failures: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, actions: Mapping[int, Action]) -> None:
        """Replace all actions. An action that is running belongs to the former test step, so wait for its end
        first."""
        with self._lock:
            self.actions, self.messages = dict(actions), 0

    def before_next(self) -> None:
        with self._lock:
            self.messages += 1
            if action := self.actions.pop(self.messages, None):
                try:
                    action()
                except BaseException as error:  # noqa: BLE001 - the test's thread asks for it
                    self.failures.append(error)


def patience() -> AbstractContextManager[object]:
    """Give Redis clients that are made in this block a long time limit: an action before a message takes part
    of it, and the disk of a busy machine may be slow."""
    return patch.object(connect, "ANSWER_SECONDS", _PATIENCE_SECONDS)


@contextmanager
def boundaries(redis_url: str) -> Iterator[Boundaries]:
    """Run the proxy in front of `redis_url`, the tests' own server, which listens on a Unix socket."""
    path = urlsplit(redis_url).path
    where = Boundaries()
    with patience(), socket.create_server(("127.0.0.1", 0)) as server:
        where.url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        sockets: list[socket.socket] = []
        threading.Thread(target=_accepting, args=(server, path, where, sockets), daemon=True).start()
        try:
            yield where
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            for one in sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def _accepting(server: socket.socket, path: str, where: Boundaries, sockets: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            redis = socket.socket(socket.AF_UNIX)
            redis.connect(path)
            sockets += (client, redis)
            for pair in ((client, redis, where.before_next), (redis, client, lambda: None)):
                threading.Thread(target=_passed_on, args=pair, daemon=True).start()


def _passed_on(source: socket.socket, sink: socket.socket, before: Callable[[], None]) -> None:
    with suppress(OSError), source, sink:
        while data := source.recv(65_536):
            before()
            sink.sendall(data)
