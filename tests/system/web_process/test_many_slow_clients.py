"""One process, a thousand slow clients and five thousand idle ones, and ordinary reads beside them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.system.conftest import serving
from tests.system.load import HEADERS, add
from tests.system.processes import wait_until_idle
from tests.system.web_process.clients import (
    HALF,
    HALF_A_BODY,
    READ,
    Environment,
    child,
    clients,
    files,
    slow_reader,
)
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.heavy]
READS = 2_000
_TEN_READS = {"organizationId": "acme", "notificationIds": [f"n-{number}" for number in range(10)]}


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def p99_ms(request: Callable[[], int]) -> float:
    took = []
    for _ in range(READS):
        started = time.monotonic()
        assert request() == 200
        took.append(time.monotonic() - started)
    return sorted(took)[READS * 99 // 100] * 1000


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("many_files")
def test_reads_are_as_fast_as_before_beside_thousands_of_slow_and_idle_clients(
    alone: Environment, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with serving(alone, tmp_path / "log") as served, urllib3.PoolManager(retries=False, timeout=10) as pool:
        for number in range(10):
            assert add(served.url, f"n-{number}")[0] == 200

        def read() -> int:
            return pool.request("POST", served.url + READ, headers=HEADERS, json=_TEN_READS).status

        def livez() -> int:
            return pool.request("GET", f"{served.url}/livez").status

        p99_ms(read)  # the first ones open connections
        undisturbed = p99_ms(read)
        before = files(child(served))
        with ExitStack() as stack:
            stack.enter_context(clients(served, 5_000))
            for _ in range(500):
                slow_reader(served, stack)
            wait_until_idle(child(served))  # when replies have filled the kernel's buffers
            begun = time.monotonic()
            for said in (HALF, HALF_A_BODY):
                stack.enter_context(clients(served, 250, said))
            disturbed, alive = p99_ms(read), p99_ms(livez)
            assert time.monotonic() - begun < 20, "the slow clients were cut off before the reads were over"
            until(lambda: files(child(served)) < before + 5_100, seconds=30)
            cut_off = time.monotonic() - begun
        figures = {"undisturbed": undisturbed, "disturbed": disturbed, "livez": alive, "cut_off_s": cut_off}
        for name, figure in figures.items():
            record_property(name, round(figure, 2))
        assert disturbed < 2 * undisturbed + 1, figures
        assert alive < 100, figures
