"""A call's deadline is a total: whatever it waits for, it ends within its budget and 0.2 seconds."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from resolver.config import OutboundSettings
from resolver.config.secret import Secret
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.http_client import Answer, HttpClient
from tests.network import Address, Firewall, dead_addresses, listening, read_request
from tests.servers import Service, authority, running

BUDGET = 0.6
LARGEST = 4_000_000
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain"
DRIP_SECONDS = 0.05
"""Between two bytes of a server that drips."""
ANSWER_SECONDS = 0.3
"""How long a slow server takes for each answer."""


def client_of(url: str, **outbound: Any) -> HttpClient:
    return HttpClient(url, {}, connections=8, largest_answer=LARGEST, outbound=OutboundSettings(**outbound))


def ask(client: HttpClient, seconds: float = BUDGET, body: bytes = b"{}") -> Answer:
    return client.call("POST", Deadline.after(seconds), body)


@contextmanager
def ended_in_time(seconds: float = BUDGET) -> Iterator[pytest.ExceptionInfo[ServiceUnreachable]]:
    with lateness() as late:
        started = time.monotonic()
        with pytest.raises(ServiceUnreachable) as caught:
            yield caught
        took = time.monotonic() - started
    assert took < seconds + 0.2 + max(late)


@contextmanager
def lateness() -> Iterator[list[float]]:
    """By how much the machine wakes a sleeping thread too late meanwhile: it may be busy with other tests."""
    late, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            began = time.monotonic()
            over.wait(0.01)
            late.append(time.monotonic() - began - 0.01)

    watching = threading.Thread(target=watch)
    with suppress(RuntimeError):  # a test has it so that none can be started
        watching.start()
    try:
        yield late
    finally:
        over.set()
        if watching.ident:
            watching.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Address] | threading.Event]]:
    """What a name server says: addresses, or an event until which it says nothing."""
    known: dict[str, list[Address] | threading.Event] = {}
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *, type: int, flags: int) -> Any:  # noqa: A002
        found = known.get(host)
        if found is None or flags & socket.AI_NUMERICHOST:
            return resolve(host, port, type=type, flags=flags)
        if isinstance(found, threading.Event):
            found.wait()
            return resolve("127.0.0.1", port, type=type)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield known
    for found in known.values():
        if isinstance(found, threading.Event):
            found.set()


@pytest.fixture
def plain() -> Iterator[Address]:
    """A server that answers everything."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(ANSWER)

    with listening(serve) as address:
        yield address


def test_call_ends_in_time_when_name_resolution_hangs(names: dict[str, Any], plain: Address) -> None:
    names["hangs.test"] = threading.Event()
    client = client_of(f"http://hangs.test:{plain[1]}")
    with ended_in_time() as caught:
        ask(client)
    assert caught.value.reason == "TimeoutError"


def test_hung_name_resolution_holds_one_thread_and_no_other_name(
    names: dict[str, Any], plain: Address
) -> None:
    names["hangs.test"] = answers = threading.Event()
    names["fine.test"] = [plain]
    hung, fine = (client_of(f"http://{name}:{plain[1]}") for name in ("hangs.test", "fine.test"))
    before = threading.active_count()
    for _ in range(5):
        with ended_in_time(0.1):
            ask(hung, 0.1)
    assert threading.active_count() - before <= 2, "the look-up's, and the watchdog's"
    assert ask(fine).body == b"plain"
    answers.set()
    assert ask(hung).body == b"plain"


def test_call_ends_in_time_when_four_addresses_are_dead(names: dict[str, Any]) -> None:
    with dead_addresses(4) as names["dead.test"], ended_in_time():
        ask(client_of("http://dead.test"))


def test_three_dead_addresses_leave_time_for_a_fourth(names: dict[str, Any], plain: Address) -> None:
    with dead_addresses(3) as dead:
        names["mixed.test"] = [*dead, plain]
        assert ask(client_of("http://mixed.test"), 2.0).body == b"plain"


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 90 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100,
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 500\r\n\r\n" + b"x" * 500,
    ],
    ids=["head", "long head", "chunks", "closing"],
)
def test_call_ends_in_time_when_the_answer_drips(answer: bytes) -> None:
    with listening(dripping(answer)) as (host, port), ended_in_time():
        ask(client_of(f"http://{host}:{port}"))


def dripping(answer: bytes, at_once: int = 0) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer[:at_once])
        for byte in answer[at_once:]:
            time.sleep(DRIP_SECONDS)
            connection.sendall(bytes([byte]))

    return serve


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["small chunks", "trailers", "interim answers"],
)
def test_call_ends_in_time_when_the_answer_is_endless_work(head: bytes, flood: bytes) -> None:
    """A limit on bytes alone lets such an answer keep a parser busy."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(flood * 10_000)

    with listening(serve) as (host, port), ended_in_time():
        ask(client_of(f"http://{host}:{port}"))


def test_an_answer_that_the_deadline_cuts_off_is_not_taken_for_a_whole_one() -> None:
    """Without a length, an answer ends where its connection does."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with listening(dripping(head + b"x" * 100, len(head))) as (host, port), ended_in_time():
        ask(client_of(f"http://{host}:{port}"))


def test_call_ends_in_time_when_the_server_takes_nothing() -> None:
    ended = threading.Event()

    def serve(_connection: socket.socket) -> None:
        ended.wait()

    with listening(serve) as (host, port):
        with ended_in_time():
            ask(client_of(f"http://{host}:{port}"), body=b"x" * 30_000_000)
        ended.set()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x03\x40\x00" + b"\x02" * 400], ids=["silent", "dripping"])
def test_call_ends_in_time_when_a_tls_handshake_does_not(sent: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for byte in sent:
            time.sleep(DRIP_SECONDS)
            connection.sendall(bytes([byte]))
        connection.recv(65536)

    with listening(serve) as (host, port), ended_in_time():
        ask(client_of(f"https://{host}:{port}"))


def test_call_ends_in_time_when_a_proxy_drips() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n"
    with listening(dripping(answer, at_once=20)) as (host, port), ended_in_time():
        ask(client_of("https://velt.test", proxy=Secret.of(f"http://{host}:{port}")))


def test_late_answer_is_not_taken_for_the_next_calls() -> None:
    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(ANSWER_SECONDS)
            connection.sendall(ANSWER.replace(b"plain", b"stale"))

    with listening(serve) as (host, port):
        client = client_of(f"http://{host}:{port}")
        assert ask(client).body == b"stale"
        for _ in range(3):
            with ended_in_time(0.2):
                ask(client, 0.2)
        assert ask(client).body == b"stale"


@pytest.mark.parametrize("idle", [1, 6])
def test_connections_dropped_silently_cost_one_call_at_most(idle: int) -> None:
    together = threading.Barrier(idle)

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        together.wait()  # so that each of the first calls needs a connection of its own
        connection.sendall(ANSWER)
        while read_request(connection):
            connection.sendall(ANSWER)

    firewall = Firewall()
    with listening(serve) as server, firewall.in_front_of(server) as url:
        client = client_of(url)
        assert lost_of(client, idle) == 0
        assert firewall.connections == idle
        firewall.drop_connections()
        together = threading.Barrier(1)
        assert lost_of(client, 1) + lost_of(client, idle) <= 1


def lost_of(client: HttpClient, calls: int) -> int:
    """Of so many calls that are made at once."""
    lost = []

    def one() -> None:
        try:
            ask(client)
        except ServiceUnreachable as error:
            lost.append(error)

    threads = [threading.Thread(target=one) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(lost)


def test_idle_connections_are_probed_by_the_kernel(plain: Address) -> None:
    """What a firewall has dropped is then found out, also while nothing is asked."""
    client = client_of(f"http://127.0.0.1:{plain[1]}")
    ask(client)
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    ours = [line.split() for line in table if line.split()[2].endswith(f":{plain[1]:04X}")]
    keep_alive, established = "02", "01"
    assert [line[5][:2] for line in ours if line[3] == established] == [keep_alive]


def test_many_calls_at_once_end_each_at_its_own_deadline() -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.recv(1)

    with listening(serve) as (host, port):
        client = client_of(f"http://{host}:{port}")
        took: dict[float, float] = {}

        def run(seconds: float) -> None:
            started = time.monotonic()
            with pytest.raises(ServiceUnreachable):
                ask(client, seconds)
            took[seconds] = time.monotonic() - started

        # The latest first: each of the others is the earliest when it begins.
        budgets = [n / 10 for n in range(8, 0, -1)]
        threads = [threading.Thread(target=run, args=(seconds,)) for seconds in budgets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(took) == sorted(budgets)
    assert [seconds for seconds, passed in took.items() if not seconds - 0.01 < passed < seconds + 0.2] == []


def test_tls_calls_reuse_their_connection(tmp_path: Path) -> None:
    certified = authority(tmp_path)
    with ExitStack() as stack:
        service = stack.enter_context(running(Service(body={"a": 1}), (certified.certificate, certified.key)))
        firewall = Firewall()
        url = stack.enter_context(firewall.in_front_of(("127.0.0.1", int(service.url.split(":")[2][:-1]))))
        client = client_of(url.replace("http:", "https:"), ca_file=str(certified.ca))
        assert [ask(client).body for _ in range(3)] == [b'{"a":1}'] * 3
        assert firewall.connections == 1


def test_call_that_can_start_no_thread_is_unanswered_and_the_next_one_works(
    names: dict[str, Any], plain: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["fine.test"] = [plain]
    client = client_of(f"http://fine.test:{plain[1]}")

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", start)
        with ended_in_time() as caught:
            ask(client)
    assert caught.value.reason == "RuntimeError"
    assert ask(client).body == b"plain"


def test_deadlines_hold_in_a_child_process(plain: Address) -> None:
    """It has none of its parent's threads."""
    code = """
import os, sys, time
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.http_client import HttpClient

def call(port):
    client = HttpClient("http://127.0.0.1:" + port, {}, connections=1, largest_answer=100)
    return client.call("POST", Deadline.after(0.5), b"{}").body

assert call(sys.argv[1]) == b"plain"
if os.fork() == 0:
    started = time.monotonic()
    try:
        call(sys.argv[2])
    except ServiceUnreachable:
        os._exit(int(time.monotonic() - started > 0.7))
    os._exit(2)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    with listening(dripping(ANSWER)) as drips:
        arguments = [sys.executable, "-W", "ignore", "-c", code, str(plain[1]), str(drips[1])]
        assert subprocess.run(arguments, timeout=30, check=False).returncode == 0
