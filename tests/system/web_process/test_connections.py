"""Connections: pipelined requests, many connections at once, resets, and the limits of a process."""

from __future__ import annotations

import re
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.system.conftest import Served, serving
from tests.system.load import add
from tests.system.web_process.clients import (
    AT_ONCE,
    FAIRLY_SOON,
    HALF,
    HALF_A_BODY,
    LAST_LIVEZ,
    LIVEZ,
    Environment,
    child,
    clients,
    connect,
    connections_of,
    everything,
    files,
    read,
    reset,
    seconds_for_livez,
    slowest_of_ten,
)
from tests.waiting import until

pytestmark = pytest.mark.system
ROUNDS = 10
"""Requests of each kind that each of many clients sends."""


def asked_in_a_row(number: int) -> tuple[bytes, list[str]]:
    """Return many pipelined requests, the last of which closes the connection, and their request ids."""
    ids = [f"request-{n:04}" for n in range(number)]
    all_ = [LIVEZ.replace(b"host: x", f"host: x\r\nx-request-id: {id_}".encode()) for id_ in ids]
    all_[-1] = all_[-1].replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    return b"".join(all_), ids


def ids_in(answer: bytes) -> list[str]:
    return re.findall(r"(?i)x-request-id: (\S+)", answer.decode())


def test_pipelined_requests_are_answered_in_order(web_process: Served) -> None:
    asked, ids = asked_in_a_row(300)
    with ThreadPoolExecutor(4) as pool:

        def answers() -> list[str]:
            with connect(web_process, asked) as connection:
                return ids_in(everything(connection))

        assert [each.result() for each in [pool.submit(answers) for _ in range(4)]] == [ids] * 4


def test_reset_connections_leave_no_file_open(web_process: Served) -> None:
    # Every thread has its files open by now, and its connection to Redis.
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: read(web_process), range(100)))
    process = child(web_process)
    # urllib3's pool keeps one connection open.
    until(lambda: len(connections_of(web_process)) <= 1, "the end of the others", seconds=10)
    before = files(process)
    for said in (b"", HALF, LIVEZ, LIVEZ * 50, LAST_LIVEZ, HALF_A_BODY):
        with ExitStack() as stack:
            for number in range(20):
                connection = connect(web_process, said)
                stack.callback(reset if number % 2 else socket.socket.close, connection)
    until(lambda: files(process) <= before, seconds=10)
    assert slowest_of_ten(web_process) < AT_ONCE


def test_many_connections_at_once_are_all_answered(web_process: Served) -> None:
    assert add(web_process.url, "n-1")[0] == 200

    def keeps(client: int) -> Counter[int]:
        pool, statuses = urllib3.PoolManager(retries=False, timeout=10), Counter[int]()
        headers = {"connection": "close"} if client % 2 else {}
        for _ in range(ROUNDS):
            statuses[pool.request("GET", f"{web_process.url}/livez", headers=headers).status] += 1
            statuses[read(web_process)] += 1
        return statuses

    with ThreadPoolExecutor(32) as pool:
        total = sum(pool.map(keeps, range(32)), Counter[int]())
    assert total == {200: 32 * ROUNDS * 2}


@pytest.fixture
def twenty_connections(alone: Environment, tmp_path: Path) -> Iterator[Served]:
    """A process that accepts at most 20 connections."""
    settings = {**alone, "GUNICORN_CMD_ARGS": "--worker-connections 20"}
    with serving(settings, tmp_path / "log") as served:
        yield served


def test_connections_beyond_the_limit_wait_while_all_others_send_requests(twenty_connections: Served) -> None:
    with clients(twenty_connections, 20, HALF), pytest.raises(urllib3.exceptions.TimeoutError):
        seconds_for_livez(twenty_connections, 1)
    assert slowest_of_ten(twenty_connections) < AT_ONCE


def test_connections_that_are_idle_for_longest_make_place_for_new_ones(twenty_connections: Served) -> None:
    with clients(twenty_connections, 20) as connections:
        assert seconds_for_livez(twenty_connections) < AT_ONCE
        assert connections[0].recv(1) == b""
        connections[-1].settimeout(0)
        with pytest.raises(BlockingIOError):
            connections[-1].recv(1)


def test_connections_never_use_up_the_files_of_a_process(alone: Environment, tmp_path: Path) -> None:
    with serving(alone, tmp_path / "log", files=1024) as served:
        process = child(served)
        with clients(served, 1100):
            assert seconds_for_livez(served) < FAIRLY_SOON
            assert read(served) == 200
        assert slowest_of_ten(served) < AT_ONCE
        assert child(served) == process
        assert "Too many open files" not in served.log


def test_the_limit_of_files_is_raised_to_the_hard_one(web_process: Served) -> None:
    soft, hard = resource.prlimit(child(web_process), resource.RLIMIT_NOFILE)
    assert soft == hard
