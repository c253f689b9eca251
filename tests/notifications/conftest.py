"""A worker in a thread of the tests' own process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resolver.services import build_worker
from resolver.settings import load

Working = Callable[..., Any]


@pytest.fixture
def working(resolver_environment: dict[str, str]) -> Working:
    @contextmanager
    def run(**changes: str) -> Iterator[None]:
        worker, stop = build_worker(load({**resolver_environment, **changes})), threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            worker.wake()
            thread.join(15)
            assert not thread.is_alive()

    return run
