"""`/livez`, and reads where possible, answer fast while requests wait for Redis, the audit log or DNS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import urllib3

from resolver.cli.local_redis import LocalRedis
from tests.network import names_for
from tests.system.conftest import Served, serving
from tests.system.load import add
from tests.system.processes import suspended
from tests.system.web_process.clients import Environment, connections_of, read
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.heavy]
LONGEST_MS = 100
PAUSE_SECONDS = 0.01
"""Between two measured requests, so that they are spread over a second and not one moment."""
WAITING = 24
Record = Callable[[str, object], None]


def milliseconds(served: Served, path: str) -> float:
    """Return the 99th percentile of a hundred requests, over a connection that is open already."""
    took = []
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        for _ in range(101):
            started = time.monotonic()
            assert pool.request("GET", served.url + path).status == 200
            took.append(time.monotonic() - started)
            time.sleep(PAUSE_SECONDS)
    return sorted(took[1:])[98] * 1000


@contextmanager
def busy(work: Callable[[int], object]) -> Iterator[None]:
    """Have WAITING clients repeat this until the block ends."""
    is_over = False

    def repeat(client: int) -> None:
        while not is_over:
            work(client)

    with ThreadPoolExecutor(WAITING) as pool:
        clients = [pool.submit(repeat, client) for client in range(WAITING)]
        try:
            yield
        finally:
            is_over = True
        for client in clients:
            client.result()


def test_livez_answers_while_redis_is_frozen(
    web_process: Served, redis_of_ours: LocalRedis, record_property: Record
) -> None:
    assert read(web_process) == 200
    with suspended(redis_of_ours.pid), busy(lambda _: read(web_process)):
        until(lambda: read(web_process) == 503, seconds=10)
        record_property("livez_ms", found := milliseconds(web_process, "/livez"))
        assert found < LONGEST_MS
    until(lambda: read(web_process) == 200, seconds=10)


def test_livez_answers_while_the_audit_log_takes_no_lines(
    alone: Environment, tmp_path: Path, record_property: Record
) -> None:
    os.mkfifo(trail := tmp_path / "trail")
    unread = os.open(trail, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(unread, b"x" * 512)
    with (
        serving(alone | {"RESOLVER_AUDIT_LOG": str(trail)}, tmp_path / "log") as served,
        busy(lambda _: read(served)),
    ):
        until(lambda: read(served) == 503, seconds=10)
        record_property("livez_ms", found := milliseconds(served, "/livez"))
        assert found < LONGEST_MS
    os.close(unread)


def test_livez_and_reads_answer_while_the_look_up_of_a_name_hangs(
    alone: Environment, tmp_path: Path, record_property: Record
) -> None:
    names = names_for(tmp_path / "names", {"hangs.test": []})
    given = {**alone, **names, "VELT_API_URL": "http://hangs.test", "RESOLVER_REGISTRATION": "inline"}
    with (
        serving(given, tmp_path / "log") as served,
        busy(lambda client: add(served.url, f"n-{client}")),
    ):
        until(lambda: len(connections_of(served)) >= WAITING, "a request of each client")
        record_property("livez_ms", found := milliseconds(served, "/livez"))
        took = []
        for _ in range(100):
            started = time.monotonic()
            assert read(served) == 200
            took.append(time.monotonic() - started)
        record_property("reads_p99_ms", reads := sorted(took)[98] * 1000)
        assert found < LONGEST_MS
        assert reads < LONGEST_MS
