"""On SIGTERM `/readyz` returns 503, then connections are closed, then the process exits."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.system.conftest import serving
from tests.system.load import Load
from tests.waiting import until

pytestmark = pytest.mark.system

Environment = dict[str, str]


def test_sigterm_ends_readiness_and_keep_alive_while_requests_are_served(
    resolver_environment: Environment, tmp_path: Path
) -> None:
    settings = {**resolver_environment, "RESOLVER_DRAIN_SECONDS": "2"}
    with serving(settings, tmp_path / "log") as served:
        pool = urllib3.PoolManager(retries=False)
        before = pool.request("GET", f"{served.url}/readyz")
        assert (before.status, before.headers.get("connection")) == (200, "keep-alive")
        asked = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        until(lambda: pool.request("GET", f"{served.url}/readyz").status == 503, seconds=1)
        draining = pool.request("GET", f"{served.url}/readyz")
        assert draining.json()["status"] == "draining"
        for wished in ({}, {"connection": "keep-alive"}):
            reply = pool.request("GET", f"{served.url}/livez", headers=wished)
            assert reply.headers["connection"] == "close"
        assert served.process.wait(10) == 0
        assert time.monotonic() - asked >= 2


def test_second_sigterm_ends_the_process_at_once(resolver_environment: Environment, tmp_path: Path) -> None:
    with serving({**resolver_environment, "RESOLVER_DRAIN_SECONDS": "60"}, tmp_path / "log") as served:
        served.process.send_signal(signal.SIGTERM)
        until(lambda: urllib3.request("GET", f"{served.url}/readyz", retries=False).status == 503, seconds=2)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0


class NewConnections(Load):
    """Clients that make a connection for each request, until the server refuses them."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self._address = address
        self.outcomes: Counter[str] = Counter()

    def work(self) -> list[Callable[[], None]]:
        return [self._send] * 4

    def _send(self) -> None:
        while not self._stop.is_set():
            try:
                connection = socket.create_connection(self._address, 10)
            except ConnectionRefusedError:
                return
            with connection:
                try:
                    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.outcomes[connection.recv(15).decode()] += 1
                except OSError as error:
                    self.outcomes[type(error).__name__] += 1


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.heavy)])
def test_stop_resets_no_connection_that_was_made(
    resolver_environment: Environment, tmp_path: Path, times: int
) -> None:
    for _ in range(times):
        with serving({**resolver_environment, "RESOLVER_DRAIN_SECONDS": "1"}, tmp_path / "log") as served:
            address = urllib3.util.parse_url(served.url)
            with NewConnections((str(address.host), address.port or 0)) as clients:
                until(lambda c=clients: c.outcomes.total() > 100, seconds=10)  # type: ignore[misc]
                served.process.send_signal(signal.SIGTERM)
                assert served.process.wait(10) == 0
        assert set(clients.outcomes) == {"HTTP/1.1 200 OK"}, clients.outcomes


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_process_ends_at_once_without_draining_or_on_sigint(
    resolver_environment: Environment, tmp_path: Path, stop: signal.Signals
) -> None:
    seconds = "0" if stop is signal.SIGTERM else "60"
    with serving({**resolver_environment, "RESOLVER_DRAIN_SECONDS": seconds}, tmp_path / "log") as served:
        served.process.send_signal(stop)
        assert served.process.wait(8) == 0
