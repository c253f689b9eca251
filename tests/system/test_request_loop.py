"""The request loop under clients of every kind: whoever is slow keeps nobody else waiting."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import orjson
import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from tests.servers import authority
from tests.support import JSON, Velt, environment, notification
from tests.system.conftest import RESOLVER, Served, free_port, plain_environment, serving
from tests.system.load import HEADERS, add, post, until
from tests.system.load import read as read_ids
from tests.system.processes import children_of, cpu_seconds, suspended

pytestmark = pytest.mark.system

Environment = dict[str, str]
AT_ONCE = 1.5
"""Seconds: for an answer that waits for nobody, on a machine that has other things to do."""
FAIRLY_SOON = 5
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
LAST_LIVEZ = LIVEZ.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
HALF = b"GET /livez HTTP/1.1\r\nhost"
CREDENTIALS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
HALF_A_BODY = b"POST /api/velt/token HTTP/1.1\r\nhost: x\r\n" + CREDENTIALS + b"content-length: 9\r\n\r\n{"
READ = "/api/velt/notifications/get"


@pytest.fixture(scope="module")
def redis_of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    server = LocalRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def alone(redis_of_ours: LocalRedis, sandbox_url: str) -> Environment:
    """gunicorn's master is the process itself, and has one child."""
    return environment(
        REDIS_URL=redis_of_ours.url,
        VELT_API_URL=sandbox_url,
        RESOLVER_LOG_LEVEL="error",
        RESOLVER_DURABILITY="none",
        RESOLVER_WORKER="separate",
        RESOLVER_DRAIN_SECONDS="0",
    )


@pytest.fixture(scope="module")
def loop(alone: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all that leave it as they found it."""
    with serving(alone, tmp_path_factory.mktemp("served") / "log") as running:
        yield running
        assert "Traceback" not in running.log, running.log


def child(served: Served) -> int:
    (found,) = children_of(served.process.pid)
    return found


def files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def address_of(served: Served) -> tuple[str, int]:
    target = urlsplit(served.url)
    return target.hostname or "", target.port or 0


def connect(served: Served, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(address_of(served), timeout=10)
    connection.sendall(said)
    return connection


@contextmanager
def clients(served: Served, number: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Who say so much and then nothing, and stay."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(served, said)) for _ in range(number)]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def everything(connection: socket.socket) -> bytes:
    """Until the other side ends it."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def seconds_for_livez(served: Served, patience: float = 10) -> float:
    started = time.monotonic()
    with urllib3.PoolManager(retries=False, timeout=patience) as new:
        assert new.request("GET", f"{served.url}/livez").status == 200
    return time.monotonic() - started


def is_stuck(served: Served) -> bool:
    try:
        seconds_for_livez(served, AT_ONCE)
    except urllib3.exceptions.TimeoutError:
        return True
    return False


def slowest_of_ten(served: Served) -> float:
    return max(seconds_for_livez(served) for _ in range(10))


def read(served: Served) -> int:
    return post(served.url, READ, {"organizationId": "acme", "notificationIds": ["n-1"]})[0]


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


def known(served: Served) -> socket.socket:
    """A connection that has been answered before: the loop finds many of these at once."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(address_of(served))
    connection.sendall(LIVEZ)
    assert b"200 OK" in connection.recv(4096)
    return connection


def asking_for(ids: list[str]) -> bytes:
    return posting(READ, {"organizationId": "acme", "notificationIds": ids})


def posting(path: str, given: JSON) -> bytes:
    body = orjson.dumps(given)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + CREDENTIALS + b"\r\n" + body


def each_gets_its_own(asked: list[socket.socket]) -> bool:
    found = []
    for connection in asked:
        with connection:
            found.append(list(orjson.loads(everything(connection).partition(b"\r\n\r\n")[2])["data"]))
    return found == [[f"n-{reader}"] for reader in range(len(asked))]


@pytest.fixture
def read_by_many(loop: Served) -> None:
    for number in range(12):
        assert add(loop.url, f"n-{number}")[0] == 200


@pytest.mark.usefixtures("read_by_many")
def test_who_reads_at_once_with_others_gets_its_own(loop: Served) -> None:
    for _ in range(20):
        asked = [known(loop) for _ in range(12)]
        with suspended(child(loop)):  # so that all of them are there when it looks
            for number, connection in enumerate(asked):
                connection.sendall(asking_for([f"n-{number}"]))
        assert each_gets_its_own(asked)


@pytest.mark.usefixtures("read_by_many")
@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_a_slow_sender_among_them_keeps_no_reader_waiting(loop: Served, said: bytes) -> None:
    assert_answered_beside(loop, said)


@pytest.mark.usefixtures("read_by_many")
def test_one_that_takes_nothing_of_its_answer_keeps_no_reader_waiting(loop: Served) -> None:
    long = [f"long-{number}" for number in range(150)]
    for id_ in long:
        adding = notification(notificationId=id_, displayBodyMessage="x" * 30_000)
        assert post(loop.url, "/v2/notifications/add", {"data": adding})[0] == 200
    assert_answered_beside(loop, asking_for(long))


@pytest.mark.usefixtures("read_by_many")
def test_a_backend_that_changes_something_among_them_keeps_to_its_own(loop: Served) -> None:
    elsewhere = {"data": {"organizationId": "acme", "documentId": "elsewhere", "notificationIds": ["n-0"]}}
    for _ in range(5):
        assert_answered_beside(loop, posting("/v2/notifications/delete", elsewhere))
    assert read_ids(loop.url, ["n-0"]) == {"n-0"}


def test_a_trail_that_takes_no_lines_fails_all_who_read_at_once_in_time(
    alone: Environment, tmp_path: Path
) -> None:
    trail = tmp_path / "trail"
    os.mkfifo(trail)
    unread = os.open(trail, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(unread, b"x" * 512)
    with serving(alone | {"RESOLVER_AUDIT_LOG": str(trail)}, tmp_path / "log") as served:
        asked = [known(served) for _ in range(16)]
        with suspended(child(served)):
            for connection in asked:
                connection.sendall(asking_for(["n-0"]))
        started = time.monotonic()
        for connection in asked:
            with connection:
                assert b"503" in everything(connection)
        assert time.monotonic() - started < 2 + AT_ONCE / 2
    os.close(unread)


def assert_answered_beside(served: Served, said: bytes) -> None:
    """Six who read, whatever the one in their midst does."""
    asked, other = [known(served) for _ in range(6)], known(served)
    with other:
        with suspended(child(served)):
            for number, connection in enumerate(asked):
                if number == 3:
                    other.sendall(said)
                connection.sendall(asking_for([f"n-{number}"]))
        started = time.monotonic()
        assert each_gets_its_own(asked)
        assert time.monotonic() - started < AT_ONCE
        reset(other)


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


def test_it_starts_anew_after_so_many_requests_and_nobody_notices(alone: Environment, tmp_path: Path) -> None:
    settings = {**alone, "GUNICORN_CMD_ARGS": "--max-requests 100"}
    with serving(settings, tmp_path / "log") as served, ThreadPoolExecutor(4) as pool:
        first = child(served)
        statuses = list(pool.map(lambda _: read(served), range(150)))
        assert set(statuses) == {200}
        assert child(served) != first


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_though_clients_say_nothing(
    alone: Environment, tmp_path: Path, stop: signal.Signals
) -> None:
    with serving(alone, tmp_path / "log") as served, ExitStack() as stack:
        stack.enter_context(clients(served, 3))
        if stop is signal.SIGINT:  # which waits for nobody
            stack.enter_context(clients(served, 8, HALF))
        time.sleep(0.1)
        asked = time.monotonic()
        served.process.send_signal(stop)
        assert served.process.wait(20) == 0
        assert time.monotonic() - asked < 3 + AT_ONCE


def test_a_term_under_load_answers_whatever_was_accepted(
    alone: Environment, tmp_path: Path, velt: Velt
) -> None:
    velt.break_with(latencyMs=300)
    with serving(alone, tmp_path / "log") as served, ThreadPoolExecutor(16) as pool:
        adds = [pool.submit(add, served.url, f"term-{number}") for number in range(16)]
        with clients(served, 16, LAST_LIVEZ) as others:
            served.process.send_signal(signal.SIGTERM)
            assert all(b"200 OK" in everything(connection) for connection in others)
        assert {asked.result()[0] for asked in adds} == {200}
        assert served.process.wait(15) == 0


def test_a_process_that_is_aborted_makes_place_for_another_one_and_leaves_nothing_open(loop: Served) -> None:
    def replaced(sent: signal.Signals) -> None:
        before = child(loop)
        os.kill(before, sent)
        until(lambda: not Path(f"/proc/{before}").exists(), 5)
        until(lambda: seconds_for_livez(loop) < AT_ONCE, 5)

    replaced(signal.SIGKILL)
    before = files(loop.process.pid)
    for _ in range(2):
        replaced(signal.SIGKILL)
    for sent in (
        signal.SIGABRT,
        *[signal.SIGQUIT] * 4,
    ):  # just when its threads start
        replaced(sent)
    assert files(loop.process.pid) == before


def test_an_idle_process_sleeps(loop: Served) -> None:
    process = child(loop)
    assert slowest_of_ten(loop) < AT_ONCE
    time.sleep(0.5)
    before, cpu = switches(process), cpu_seconds(process)
    time.sleep(3)
    assert cpu_seconds(process) - cpu < 0.2
    assert switches(process) - before < 3 * 20


def switches(process: int) -> int:
    statuses = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/status")]
    return sum(int(found) for text in statuses for found in re.findall(r"ctxt_switches:\s*(\d+)", text))


@contextmanager
def serving_tls(settings: Environment, folder: Path) -> Iterator[tuple[Served, ssl.SSLContext]]:
    ours = authority(folder)
    bind = f"127.0.0.1:{free_port()}"
    given = {**settings, "RESOLVER_BIND": bind, "WEB_CONCURRENCY": "1"}
    given["GUNICORN_CMD_ARGS"] = f"--certfile {ours.certificate} --keyfile {ours.key}"
    log = folder / "log"
    with log.open("wb") as output:
        process = start_child(
            [*RESOLVER, "serve"], env=plain_environment(given), stdout=output, stderr=output
        )
    served = Served(f"https://{bind}", process, log)
    context = ssl.create_default_context(cafile=str(ours.ca))
    pool = urllib3.PoolManager(
        retries=urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.1), ssl_context=context
    )
    try:
        assert pool.request("GET", f"{served.url}/livez").status == 200
        pool.clear()
        yield served, context
    finally:
        stop_child(process)


def test_with_tls_too(alone: Environment, tmp_path: Path) -> None:
    with serving_tls(alone, tmp_path) as (served, context):

        def connect_by_tls() -> ssl.SSLSocket:
            return context.wrap_socket(connect(served), server_hostname="127.0.0.1")

        process = child(served)
        # As much as is read at once ends just where the next request begins, which TLS has opened by then.
        long = LIVEZ.replace(b"host: x", b"host: x\r\nx-long: ")
        long = long.replace(b"x-long: ", b"x-long: " + b"x" * (8192 - len(long)))
        with connect_by_tls() as connection:
            connection.sendall(long + LAST_LIVEZ)
            assert everything(connection).count(b"200 OK") == 2
        before = files(process)
        for _ in range(20):
            with connect_by_tls() as connection, connect(served, b"\x16\x03"):
                connection.sendall(LIVEZ)
                assert b"200 OK" in connection.recv(65536)
        until(lambda: files(process) <= before, 5)
