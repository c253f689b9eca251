"""Connections: many requests on one, many of them, and such as are cut off."""

from __future__ import annotations

import re
import resource
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.system.conftest import Served, serving
from tests.system.load import add, until
from tests.system.request_loop.clients import (
    AT_ONCE,
    HALF,
    HALF_A_BODY,
    LAST_LIVEZ,
    LIVEZ,
    Environment,
    child,
    clients,
    connect,
    everything,
    files,
    read,
    reset,
    seconds_for_livez,
    slowest_of_ten,
)

pytestmark = pytest.mark.system


def asked_in_a_row(number: int) -> tuple[bytes, list[str]]:
    """Many requests at once, the last of which ends the connection, and the ids they go by."""
    ids = [f"request-{n:04}" for n in range(number)]
    all_ = [LIVEZ.replace(b"host: x", f"host: x\r\nx-request-id: {id_}".encode()) for id_ in ids]
    all_[-1] = all_[-1].replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    return b"".join(all_), ids


def ids_in(answer: bytes) -> list[str]:
    return re.findall(r"(?i)x-request-id: (\S+)", answer.decode())


def test_requests_in_one_go_are_all_answered_in_their_order(loop: Served) -> None:
    asked, ids = asked_in_a_row(300)
    with ThreadPoolExecutor(4) as pool:

        def answers() -> list[str]:
            with connect(loop, asked) as connection:
                return ids_in(everything(connection))

        assert [each.result() for each in [pool.submit(answers) for _ in range(4)]] == [ids] * 4


def test_connections_that_are_reset_leave_nothing_behind(loop: Served) -> None:
    # Every thread has its files open by now, and its connection to Redis.
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: read(loop), range(100)))
    process, before = child(loop), 0
    until(lambda: files(process) == seen_twice(process), 10)
    before = files(process)
    for said in (b"", HALF, LIVEZ, LIVEZ * 50, LAST_LIVEZ, HALF_A_BODY):
        with ExitStack() as stack:
            for number in range(20):
                connection = connect(loop, said)
                stack.callback(reset if number % 2 else socket.socket.close, connection)
    until(lambda: files(process) <= before, 10)
    assert slowest_of_ten(loop) < AT_ONCE


def seen_twice(process: int) -> int:
    """How many files are open a moment later."""
    time.sleep(0.3)
    return files(process)


def test_many_at_once_are_all_answered_whether_they_stay_or_go(loop: Served) -> None:
    assert add(loop.url, "n-1")[0] == 200
    ends = time.monotonic() + 2

    def keeps(client: int) -> Counter[int]:
        pool, statuses = urllib3.PoolManager(retries=False, timeout=10), Counter[int]()
        headers = {"connection": "close"} if client % 2 else {}
        while time.monotonic() < ends:
            statuses[pool.request("GET", f"{loop.url}/livez", headers=headers).status] += 1
            statuses[read(loop)] += 1
        return statuses

    with ThreadPoolExecutor(32) as pool:
        total = sum(pool.map(keeps, range(32)), Counter[int]())
    assert total.keys() == {200}
    assert total[200] > 200


def test_no_more_connections_than_there_may_be_and_then_the_next_ones(
    alone: Environment, tmp_path: Path
) -> None:
    settings = {**alone, "GUNICORN_CMD_ARGS": "--worker-connections 20"}
    with serving(settings, tmp_path / "log") as served:
        with clients(served, 20), pytest.raises(urllib3.exceptions.TimeoutError):
            seconds_for_livez(served, 0.5)
        assert slowest_of_ten(served) < AT_ONCE


def test_with_as_few_files_as_systemd_allows_it_outlives_any_number_of_connections(loop: Served) -> None:
    process = child(loop)
    with ThreadPoolExecutor(16) as pool:  # so that each thread has its files open
        list(pool.map(lambda _: read(loop), range(100)))
    _, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (1024, hard))
    with clients(loop, 1100):
        time.sleep(0.5)
        assert child(loop) == process
    assert slowest_of_ten(loop) < AT_ONCE
    assert child(loop) == process
