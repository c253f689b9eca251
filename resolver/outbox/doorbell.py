"""The doorbell: wakes a sleeping worker when a command is left for it. A bell that isn't heard costs two
seconds, no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis, RedisError

from resolver.vault.keyspace import DOORBELL

_LISTEN_SECONDS = 0.4
_PAUSE_SECONDS = 0.5


class Doorbell:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._rung = threading.Event()
        self._stopped = threading.Event()

    def wait(self, seconds: float) -> None:
        """Until it rings, or for so long."""
        self._rung.wait(seconds)
        self._rung.clear()

    def ring(self) -> None:
        """From within: to be woken for another reason."""
        self._rung.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        thread = threading.Thread(target=self._listen, name="doorbell", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as ear:  # type: ignore[no-untyped-call]
                    ear.subscribe(DOORBELL)
                    while not self._stopped.is_set():
                        if ear.get_message(timeout=_LISTEN_SECONDS):
                            self._rung.set()
            except RedisError:
                self._stopped.wait(_PAUSE_SECONDS)
