"""On SIGTERM `/readyz` returns 503, then connections are closed, then the process exits."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import urllib3

from tests.system.conftest import serving
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


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_process_ends_at_once_without_draining_or_on_sigint(
    resolver_environment: Environment, tmp_path: Path, stop: signal.Signals
) -> None:
    seconds = "0" if stop is signal.SIGTERM else "60"
    with serving({**resolver_environment, "RESOLVER_DRAIN_SECONDS": seconds}, tmp_path / "log") as served:
        served.process.send_signal(stop)
        assert served.process.wait(8) == 0
