"""Whoever is slow keeps nobody else waiting: Redis, Velt, and clients of every kind."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Thread

import pytest

from resolver.cli.local_redis import LocalRedis
from tests.support import Velt
from tests.system.conftest import Served
from tests.system.load import add
from tests.system.processes import suspended
from tests.system.web_process.clients import (
    AT_ONCE,
    FAIRLY_SOON,
    HALF,
    HALF_A_BODY,
    LAST_LIVEZ,
    LIVEZ,
    child,
    clients,
    connect,
    everything,
    files,
    read,
    slow_reader,
    slowest_of_ten,
)
from tests.waiting import until

pytestmark = pytest.mark.system


def test_a_redis_that_hangs_keeps_nobody_else_waiting_and_is_gotten_over(
    web_process: Served, redis_of_ours: LocalRedis
) -> None:
    with ThreadPoolExecutor(24) as pool:
        with suspended(redis_of_ours.pid):
            one = pool.submit(read, web_process)
            time.sleep(0.1)
            assert slowest_of_ten(web_process) < AT_ONCE
            assert one.result() == 503
            # More of them than threads.
            assert {asked.result() for asked in [pool.submit(read, web_process) for _ in range(24)]} == {503}
        until(lambda: read(web_process) == 200, seconds=5)
        assert slowest_of_ten(web_process) < AT_ONCE


def test_a_velt_that_is_slow_keeps_nobody_else_waiting(web_process: Served, velt: Velt) -> None:
    velt.break_with(latencyMs=1500)
    with ThreadPoolExecutor(16) as pool:
        adds = [pool.submit(add, web_process.url, f"slow-{number}") for number in range(16)]
        time.sleep(0.1)
        assert slowest_of_ten(web_process) < AT_ONCE
        assert {asked.result()[0] for asked in adds} == {200}


def test_connections_that_say_nothing_keep_nobody_waiting(web_process: Served) -> None:
    with clients(web_process, 200):
        assert slowest_of_ten(web_process) < AT_ONCE


@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_hundreds_of_slow_requests_keep_nobody_waiting(web_process: Served, said: bytes) -> None:
    with clients(web_process, 300, said):
        assert slowest_of_ten(web_process) < AT_ONCE


def test_hundreds_of_slow_readers_keep_nobody_waiting(web_process: Served) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            slow_reader(web_process, stack)
        assert slowest_of_ten(web_process) < AT_ONCE


@pytest.mark.heavy
@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_a_client_that_sends_one_request_for_twenty_seconds_is_cut_off(
    web_process: Served, said: bytes
) -> None:
    with connect(web_process, said.replace(b"length: 9", b"length: 99")) as connection:
        started = time.monotonic()
        for _ in range(18):
            time.sleep(1)
            connection.sendall(b"x")
        connection.settimeout(FAIRLY_SOON)
        everything(connection)
        assert 19 < time.monotonic() - started < 20 + FAIRLY_SOON


@pytest.mark.heavy
def test_a_client_that_takes_no_reply_for_twenty_seconds_is_cut_off(web_process: Served) -> None:
    with ExitStack() as stack:
        connection = slow_reader(web_process, stack)
        before = files(child(web_process))
        started = time.monotonic()
        until(lambda: files(child(web_process)) < before, seconds=20 + FAIRLY_SOON)
        assert time.monotonic() - started > 19
        with pytest.raises(ConnectionResetError):
            everything(connection)


def test_who_does_not_hang_up_after_its_last_answer_keeps_nobody_waiting(web_process: Served) -> None:
    with clients(web_process, 20, LAST_LIVEZ) as last:
        assert slowest_of_ten(web_process) < AT_ONCE
        assert all(b"200 OK" in everything(connection) for connection in last)


def test_who_sends_one_request_after_the_other_without_end_is_not_served_alone(web_process: Served) -> None:
    with clients(web_process, 4) as connections:
        threads = [Thread(target=each, args=(c,)) for c in connections for each in (flood, hear)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            assert slowest_of_ten(web_process) < AT_ONCE
        finally:
            for connection in connections:
                connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def flood(connection: socket.socket) -> None:
    try:
        while True:
            connection.sendall(LIVEZ * 100_000)
    except OSError:
        pass  # the test is over


def hear(connection: socket.socket) -> None:
    try:
        while connection.recv(2**20):
            pass
    except OSError:
        pass  # the test is over
