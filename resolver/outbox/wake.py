"""Wakes a sleeping worker when a command is queued. A lost message only costs time: the worker looks every
two seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis import Redis
from redis.exceptions import RedisClusterException

from resolver.store.cluster import reset_connections
from resolver.store.keyspace import WAKE_CHANNEL

_LISTEN_SECONDS = 0.4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class WakeUp:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._woken = threading.Event()
        self._stopped = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait until woken, at most so many seconds."""
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        """End a wait from this process."""
        self._woken.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for messages in a thread."""
        thread = threading.Thread(target=self._listen, name="wake-up", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _listen(self) -> None:
        """Subscribe and listen until stopped; after a failure, pause and subscribe again."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            try:
                for _ in self._messages():
                    pause = _FIRST_PAUSE_SECONDS
            except Exception as error:  # noqa: BLE001 - without this thread no command wakes the worker
                if pause == _FIRST_PAUSE_SECONDS:
                    _log.warning("worker_wake_up_failed", type=type(error).__name__)
                self._stopped.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _messages(self) -> Iterator[None]:
        """Yield after each wait for a message that didn't fail; a message wakes the worker."""
        try:
            with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
                subscription.subscribe(WAKE_CHANNEL)
                while not self._stopped.is_set():
                    if subscription.get_message(timeout=_LISTEN_SECONDS):
                        self._woken.set()
                    yield
        except RedisClusterException:
            # No node serves the channel's slot, as far as this client knows: it must read the slots anew.
            reset_connections(self._redis)
            raise
