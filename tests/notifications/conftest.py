"""A worker in a thread of the test's process, and a resolver that leaves commands to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resolver.circuit_breaker import CircuitBreaker
from resolver.config import load
from resolver.outbox.queue import Outbox
from resolver.wiring import build_stores, build_worker
from tests.support import JSON, Api

Working = Callable[..., Any]


@pytest.fixture
def working(resolver_environment: dict[str, str]) -> Working:
    @contextmanager
    def run(breaker: CircuitBreaker | None = None, **changes: str) -> Iterator[None]:
        settings, stop = load({**resolver_environment, **changes}), threading.Event()
        worker = build_worker(settings, breaker)
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


@pytest.fixture
def deferred(make_api: Callable[..., Api]) -> Api:
    """A resolver that leaves everything to the worker."""
    return make_api(RESOLVER_REGISTRATION="deferred")


@pytest.fixture
def outbox(resolver_environment: dict[str, str]) -> Outbox:
    return build_stores(load(resolver_environment)).outbox


def empty(outbox: Outbox) -> bool:
    return outbox.depth().waiting == 0


def change(api: Api, **entry: Any) -> None:
    data: JSON = {"organizationId": "acme", "notifications": [{"id": "n-1", **entry}]}
    assert api.velt("notifications/update", data).status_code == 200
