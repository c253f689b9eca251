"""A slow Redis, a slow Velt and slow clients of every kind delay no other client."""

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
    asking_for,
    clients,
    connect,
    connections_of,
    everything,
    read,
    slow_reader,
    slowest_of_ten,
    wait_until_read,
)
from tests.waiting import until

pytestmark = pytest.mark.system
DRIP_SECONDS = 1
"""A client that drips sends a byte so often."""
ANSWERS_BYTES = 2**16
"""Some hundred answers: so many show that a client is being served."""


def test_hung_redis_delays_no_livez_and_fails_reads_until_it_answers_again(
    web_process: Served, redis_of_ours: LocalRedis
) -> None:
    with ThreadPoolExecutor(24) as pool:
        with suspended(redis_of_ours.pid):
            with connect(web_process, asking_for(["n-1"])) as waiting:
                wait_until_read(web_process, waiting)
                assert slowest_of_ten(web_process) < AT_ONCE
                assert everything(waiting).startswith(b"HTTP/1.1 503 ")
            # More requests than threads.
            assert {asked.result() for asked in [pool.submit(read, web_process) for _ in range(24)]} == {503}
        until(lambda: read(web_process) == 200, seconds=5)
        assert slowest_of_ten(web_process) < AT_ONCE


def test_slow_velt_delays_no_other_client(web_process: Served, velt: Velt) -> None:
    velt.break_with(latencyMs=1500)
    with ThreadPoolExecutor(16) as pool:
        adds = [pool.submit(add, web_process.url, f"slow-{number}") for number in range(16)]
        until(lambda: velt.ledger("/v2/notifications/add"), "adds at Velt")
        assert slowest_of_ten(web_process) < AT_ONCE
        assert {asked.result()[0] for asked in adds} == {200}


def test_silent_connections_delay_no_other_client(web_process: Served) -> None:
    with clients(web_process, 200):
        assert slowest_of_ten(web_process) < AT_ONCE


@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_hundreds_of_slow_requests_delay_no_other_client(web_process: Served, said: bytes) -> None:
    with clients(web_process, 300, said):
        assert slowest_of_ten(web_process) < AT_ONCE


def test_hundreds_of_slow_readers_delay_no_other_client(web_process: Served) -> None:
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
            time.sleep(DRIP_SECONDS)
            connection.sendall(b"x")
        connection.settimeout(FAIRLY_SOON)
        everything(connection)
        assert 19 < time.monotonic() - started < 20 + FAIRLY_SOON


@pytest.mark.heavy
def test_a_client_that_takes_no_reply_for_twenty_seconds_is_cut_off(web_process: Served) -> None:
    with ExitStack() as stack:
        connection = slow_reader(web_process, stack)
        port = connection.getsockname()[1]
        until(lambda: port in connections_of(web_process), "an accepted connection")
        took = until(lambda: port not in connections_of(web_process), "its end", seconds=20 + FAIRLY_SOON)
        assert took > 19
        with pytest.raises(ConnectionResetError):
            everything(connection)


def test_clients_that_stay_after_their_last_answer_delay_no_other_client(web_process: Served) -> None:
    with clients(web_process, 20, LAST_LIVEZ) as last:
        assert slowest_of_ten(web_process) < AT_ONCE
        assert all(b"200 OK" in everything(connection) for connection in last)


def test_client_that_sends_requests_without_end_delays_no_other_client(web_process: Served) -> None:
    with clients(web_process, 4) as connections:
        heard = [0] * len(connections)
        threads = [Thread(target=flood, args=(connection,)) for connection in connections]
        threads += [Thread(target=hear, args=(c, heard, number)) for number, c in enumerate(connections)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: min(heard) > ANSWERS_BYTES, "answers to each")
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


def hear(connection: socket.socket, heard: list[int], number: int) -> None:
    """Read answers, and count their bytes in `heard`."""
    try:
        while piece := connection.recv(2**20):
            heard[number] += len(piece)
    except OSError:
        pass  # the test is over
