"""Whoever is slow keeps nobody else waiting: Redis, Velt, and clients of every kind."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from resolver.cli.local_redis import LocalRedis
from tests.support import Velt
from tests.system.conftest import Served, serving
from tests.system.load import add, until
from tests.system.processes import suspended
from tests.system.request_loop.clients import (
    AT_ONCE,
    FAIRLY_SOON,
    HALF,
    HALF_A_BODY,
    LAST_LIVEZ,
    LIVEZ,
    Environment,
    address_of,
    clients,
    everything,
    is_stuck,
    read,
    seconds_for_livez,
    slowest_of_ten,
)

pytestmark = pytest.mark.system


def test_a_redis_that_hangs_keeps_nobody_else_waiting_and_is_gotten_over(
    loop: Served, redis_of_ours: LocalRedis
) -> None:
    with ThreadPoolExecutor(24) as pool:
        with suspended(redis_of_ours.pid):
            one = pool.submit(read, loop)
            time.sleep(0.1)
            assert slowest_of_ten(loop) < AT_ONCE
            assert one.result() == 503
            # More of them than threads.
            assert {asked.result() for asked in [pool.submit(read, loop) for _ in range(24)]} == {503}
        until(lambda: read(loop) == 200, 5)
        assert slowest_of_ten(loop) < AT_ONCE


def test_a_velt_that_is_slow_keeps_nobody_else_waiting(loop: Served, velt: Velt) -> None:
    velt.break_with(latencyMs=1500)
    with ThreadPoolExecutor(16) as pool:
        adds = [pool.submit(add, loop.url, f"slow-{number}") for number in range(16)]
        time.sleep(0.1)
        assert slowest_of_ten(loop) < AT_ONCE
        assert {asked.result()[0] for asked in adds} == {200}


def test_connections_that_say_nothing_keep_nobody_waiting(loop: Served) -> None:
    with clients(loop, 200):
        assert slowest_of_ten(loop) < AT_ONCE


@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_as_long_as_one_thread_is_left_slow_senders_keep_nobody_waiting(loop: Served, said: bytes) -> None:
    with clients(loop, 7, said):
        assert slowest_of_ten(loop) < AT_ONCE


@pytest.mark.heavy
@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_who_sends_for_twenty_seconds_is_cut_off(loop: Served, said: bytes) -> None:
    with clients(loop, 8, said):
        assert seconds_for_livez(loop, 40) < 20 + FAIRLY_SOON


@pytest.mark.heavy
def test_who_takes_nothing_for_twenty_seconds_is_cut_off(alone: Environment, tmp_path: Path) -> None:
    asked = LIVEZ.replace(b"/livez", b"/openapi.json") * 50
    with serving(alone, tmp_path / "log") as served, ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(address_of(served))
            connection.sendall(asked)
        until(lambda: is_stuck(served), 20)
        until(lambda: not is_stuck(served), 60)
        assert slowest_of_ten(served) < AT_ONCE


def test_who_does_not_hang_up_after_its_last_answer_keeps_nobody_waiting(loop: Served) -> None:
    with clients(loop, 20, LAST_LIVEZ) as last:
        assert slowest_of_ten(loop) < AT_ONCE
        assert all(b"200 OK" in everything(connection) for connection in last)


def test_who_sends_one_request_after_the_other_without_end_is_not_served_alone(loop: Served) -> None:
    with clients(loop, 4) as connections:
        threads = [Thread(target=each, args=(c,)) for c in connections for each in (flood, hear)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            assert slowest_of_ten(loop) < AT_ONCE
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
