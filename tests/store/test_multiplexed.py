"""One connection for many threads, against real servers: each gets its own reply, and failures reach all."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, create_server, socket
from typing import Any, cast

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis import TimeoutError as RedisTimeoutError

from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.errors import Overloaded, StoreUnavailable
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.multiplexed import Client, MultiplexedConnection, multiplexed
from resolver.store.record import Record
from resolver.store.records import RecordStore, Retention
from tests.network import dead_addresses, listening
from tests.servers import authority
from tests.store.calls import at_once, errors, results
from tests.store.conftest import INDEX, guard_of, keyring, record
from tests.support import keys_of
from tests.system.conftest import free_ports
from tests.system.processes import suspended
from tests.waiting import until

THREADS = 12
IDS = [f"n-{number}" for number in range(THREADS)]
MANY = [f"n-{number}" for number in range(250)]


def client_of(url: str) -> Client:
    return cast(Client, connect(Secret.of(url), 4))


def vault_of(client: Client) -> RecordStore:
    keyspace, envelope = Keyspace(INDEX), Envelope(keyring("k1"))
    return RecordStore(client, guard_of(client, keyspace, envelope), keyspace, envelope, Retention())


@contextmanager
def connection_to(url: str) -> Iterator[MultiplexedConnection]:
    """The connection alone, whose commands can be sent without waiting for their replies."""
    connection = multiplexed(client_of(url).connection_pool)
    try:
        yield connection
    finally:
        connection.close()


def text(length: int) -> bytes:
    return b'{"displayBodyMessage":"%s"}' % (b"x" * length)


def threads_of_connections() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("redis-reader", "redis-writer")]


@dataclass
class Gate:
    """Stands in front of Redis: holds replies back, and cuts connections."""

    path: str
    url: str = ""
    passing: threading.Event = field(default_factory=threading.Event)
    sent: bytes = b""
    """What clients have sent since the gate was shut."""
    _sockets: list[socket] = field(default_factory=list)

    def shut(self) -> None:
        self.sent = b""
        self.passing.clear()

    def cut(self) -> None:
        """Close every connection; replies that were held back are lost."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(SHUT_RDWR)
        self._sockets.clear()
        self.passing.set()

    def serve(self, client: socket) -> None:
        with socket(AF_UNIX) as redis:
            redis.connect(self.path)
            self._sockets += (client, redis)
            back = threading.Thread(target=self._reply, args=(redis, client), daemon=True)
            back.start()
            with suppress(OSError):
                while data := client.recv(65_536):
                    self.sent += data
                    redis.sendall(data)
            with suppress(OSError):
                redis.shutdown(SHUT_RDWR)
            back.join()

    def _reply(self, redis: socket, client: socket) -> None:
        with suppress(OSError):
            while data := redis.recv(65_536):
                self.passing.wait()
                client.sendall(data)
            client.shutdown(SHUT_RDWR)


@pytest.fixture
def gate(redis_server: LocalRedis) -> Iterator[Gate]:
    found = Gate(redis_server.url.removeprefix("unix://"))
    found.passing.set()
    with listening(found.serve) as (host, port):
        found.url = f"redis://{host}:{port}/0"
        yield found
        found.cut()


# Replies


def test_threads_read_their_own_replies_from_one_connection(store: RecordStore) -> None:
    def use(number: int) -> None:
        for turn in range(20):
            id_ = f"n-{number}-{turn}"
            store.put(record(id_, document=id_))
            assert store.read("acme", [id_, "absent"])[id_].document == id_

    results(at_once(THREADS, use))


def test_large_and_small_replies_are_read_side_by_side(store: RecordStore) -> None:
    for number, id_ in enumerate(MANY):
        store.put(record(id_, content=text(10_000 + number)))
    expected = store.read("acme", MANY)
    assert len(expected) == len(MANY)

    def read(number: int) -> bool:
        if number % 3 == 0:
            return store.read("acme", MANY) == expected
        id_ = MANY[number]
        return all(store.read("acme", [id_]) == {id_: expected[id_]} for _ in range(20))

    assert all(results(at_once(THREADS, read)))


def test_error_reply_is_raised_by_the_thread_that_asked(redis_server: LocalRedis) -> None:
    client = client_of(redis_server.url)
    script = client.register_script("return redis.error_reply('WRONG ' .. ARGV[1])")

    def run(number: int) -> None:
        with pytest.raises(RedisError, match=f"WRONG {number}$"):
            script(keys=["{p00}x"], args=[number])

    results(at_once(THREADS, run))


@pytest.mark.single_server
def test_push_messages_are_no_replies(redis_server: LocalRedis, redis: Redis) -> None:
    with connection_to(redis_server.url) as connection:
        connection.call("CLIENT", "TRACKING", "ON", "BCAST")
        for number in range(10):
            redis.set("k", number)
            assert connection.call("GET", "k") == b"%d" % number


@pytest.mark.single_server
def test_commands_submitted_while_connecting_are_sent_in_one_piece(
    redis_server: LocalRedis, redis: Redis
) -> None:
    def sends(commands: int) -> int:
        before = redis.info("stats")["total_reads_processed"]
        with connection_to(redis_server.url) as connection:
            with suspended(redis_server.pid):
                exchanges = [connection.send([("GET", "k")]) for _ in range(commands)]
            assert [exchange.wait() for exchange in exchanges] == [[None]] * commands
        return redis.info("stats")["total_reads_processed"] - before  # type: ignore[no-any-return]

    assert sends(50) == sends(1)


# Failures


@pytest.mark.single_server
def test_silent_server_ends_every_command_within_a_second_and_counts_once(
    store: RecordStore, redis_server: LocalRedis
) -> None:
    store.put(record())
    started = time.monotonic()
    with suspended(redis_server.pid):
        failed = at_once(THREADS, lambda _: store.read("acme", ["n-1"]))
    assert time.monotonic() - started < 1
    assert errors(failed) == [StoreUnavailable] * THREADS
    assert {type(error.__cause__) for future in failed if (error := future.exception())} == {
        RedisTimeoutError
    }
    assert store.read("acme", ["n-1"]), "of failures in flight together the circuit breaker counts one"


@pytest.mark.single_server
def test_server_that_goes_silent_in_a_large_reply_ends_it_within_a_second(
    redis_server: LocalRedis, redis: Redis
) -> None:
    redis.set("large", b"x" * 50_000_000)
    with connection_to(redis_server.url) as connection:
        exchange = connection.send([("GET", "large")])
        with suspended(redis_server.pid):
            started = time.monotonic()
            with suppress(RedisTimeoutError):  # nothing was written yet, or some of it, or all
                exchange.wait()
            assert time.monotonic() - started < 1
        assert connection.call("GET", "absent") is None


@pytest.mark.single_server
def test_suspended_process_reads_replies_before_it_times_out(redis_server: LocalRedis) -> None:
    """The process stops after its command was sent, for longer than a reply may take."""
    script = """
import os, signal, subprocess, sys
from resolver.config.secret import Secret
from resolver.store.connect import connect
from resolver.store.multiplexed import multiplexed
connection = multiplexed(connect(Secret.of(sys.argv[1]), 2).connection_pool)
connection.call("GET", "k")
exchange = connection.send([("GET", "k")])
waking = subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {os.getpid()}"])
os.kill(os.getpid(), signal.SIGSTOP)
assert exchange.wait() == [None]
waking.wait()
connection.close()
"""
    run_python(script, redis_server.url)


@pytest.mark.single_server
def test_reads_are_repeated_once_after_a_lost_connection(gate: Gate) -> None:
    store = vault_of(client_of(gate.url))
    for id_ in IDS:
        store.put(record(id_))
    gate.shut()

    def cut() -> None:
        until(lambda: gate.sent.count(b"MGET") == THREADS, "all reads are in flight")
        gate.cut()

    cutting = threading.Thread(target=cut)
    cutting.start()
    found = results(at_once(THREADS, lambda number: list(store.read("acme", [IDS[number]]))))
    cutting.join()
    assert found == [[id_] for id_ in IDS]


@pytest.mark.single_server
def test_write_on_a_lost_connection_fails_and_is_not_repeated(gate: Gate, redis: Redis) -> None:
    store = vault_of(client_of(gate.url))
    store.put(record())
    redis.config_resetstat()
    gate.shut()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.put, record("n-2"))
        until(lambda: b"EVALSHA" in gate.sent, "the write is in flight")
        gate.cut()
        assert type(writing.exception()) is StoreUnavailable
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == 1


@pytest.mark.single_server
def test_idle_connection_that_the_server_closes_is_noticed_before_a_write(
    store: RecordStore, redis: Redis
) -> None:
    for number in range(10):
        store.put(record(f"n-{number}"))
        redis.client_kill_filter(_type="normal", skipme=True)
        until(lambda: not threads_of_connections(), "the reader has noticed")
    store.put(record("n-10"))
    assert len(keys_of(redis)) == 11


@pytest.mark.single_server
def test_replaced_connection_still_delivers_what_is_in_flight(gate: Gate, redis: Redis) -> None:
    redis.set("k", "v")
    client = client_of(gate.url)
    list(client.get_in_pieces(["k"]))
    gate.shut()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(client.get, "k")
        until(lambda: b"GET" in gate.sent, "the command is in flight")
        client.reset_connections()
        gate.passing.set()
        assert reading.result() == b"v"
    assert list(client.get_in_pieces(["k"])) == [[b"v"]]
    until(lambda: len(threads_of_connections()) == 2, "the former connection has ended")


@pytest.mark.single_server
def test_connection_to_a_former_master_is_replaced(store: RecordStore, redis: Redis) -> None:
    store.put(record())
    before = {one["id"] for one in redis.client_list()}
    try:
        redis.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable):
            store.put(record("n-2"))
    finally:
        redis.replicaof("NO", "ONE")
    store.put(record("n-3"))
    until(
        lambda: len({one["id"] for one in redis.client_list()} & before) == 1,
        "of the former connections the test's own is left",
    )


@pytest.mark.single_server
def test_close_fails_commands_in_flight_and_leaves_no_thread(gate: Gate) -> None:
    client = client_of(gate.url)
    list(client.get_in_pieces(["k"]))
    gate.shut()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(client.get, "k")
        until(lambda: b"GET" in gate.sent, "the command is in flight")
        client.close()
        assert type(reading.exception()) is RedisConnectionError
    until(lambda: not threads_of_connections(), "reader and writer have ended")
    gate.cut()
    assert list(client.get_in_pieces(["k"])) == [[None]], "it connects again when it is used again"


# Connecting


def test_commands_fail_in_time_when_the_server_accepts_but_does_not_answer() -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        client = client_of(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        failed = at_once(THREADS, lambda _: list(client.get_in_pieces(["k"])))
        assert time.monotonic() - started < 1.2
        assert errors(failed) == [RedisTimeoutError] * THREADS


def test_host_that_does_not_answer_fails_every_command_in_time() -> None:
    with dead_addresses(1) as ((host, port),):
        client = client_of(f"redis://{host}:{port}/0")
        started = time.monotonic()
        failed = at_once(THREADS, lambda _: list(client.get_in_pieces(["k"])))
        assert time.monotonic() - started < 1.2
        assert errors(failed) == [RedisTimeoutError] * THREADS


@pytest.mark.single_server
def test_name_that_does_not_resolve_holds_one_thread_and_fails_commands_in_time(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def getaddrinfo(_host: str, port: int, *_args: Any) -> Any:
        answers.wait()
        return [(2, 1, 6, "", ("127.0.0.1", int(port)))]

    client = client_of(gate.url.replace("127.0.0.1", "hangs.test"))
    with monkeypatch.context() as patched:
        patched.setattr("socket.getaddrinfo", getaddrinfo)
        started = time.monotonic()
        failed = at_once(THREADS, lambda _: list(client.get_in_pieces(["k"])))
        assert time.monotonic() - started < 1.5
        assert errors(failed) == [RedisTimeoutError] * THREADS
        again = time.monotonic()
        with pytest.raises(RedisTimeoutError):
            list(client.get_in_pieces(["k"]))
        assert time.monotonic() - again < 0.1
        assert len(threads_of_connections()) == 1
        answers.set()
        until(lambda: list(client.get_in_pieces(["k"])) == [[None]], "it is connected after all")


@pytest.mark.single_server
@pytest.mark.parametrize("which", ["redis-reader", "redis-writer"])
def test_thread_that_cannot_be_started_is_a_failure_until_it_can(
    redis_server: LocalRedis, redis: Redis, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    client = client_of(redis_server.url)
    store = vault_of(client)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == which:
            raise RuntimeError("can't start new thread")
        start(thread)

    store.ping()
    client.close()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable):
            store.put(record())
    store.put(record())
    assert store.read("acme", ["n-1"])


# Large questions


def test_pieces_are_admitted_by_their_number_of_bytes(store: RecordStore, redis: Redis) -> None:
    for id_ in MANY:
        store.put(record(id_))
    admitted: list[int] = []
    records, others = store.open(Record.from_bytes, "acme", MANY, ["{p00}absent"], admit=admitted.append)
    assert len(list(records)) == len(MANY)
    assert others == [None]
    assert len(admitted) == 3
    assert sum(admitted) == sum(redis.strlen(name) for name in keys_of(redis))


def test_pieces_that_are_not_admitted_are_dropped(store: RecordStore) -> None:
    for id_ in MANY:
        store.put(record(id_, content=text(10_000)))
    asked: list[int] = []

    def refuse(size: int) -> None:
        asked.append(size)
        raise MemoryError

    def read(_: int) -> None:
        with pytest.raises(MemoryError):
            store.open(Record.from_bytes, "acme", MANY, admit=refuse)
        assert store.read("acme", MANY[:1])

    results(at_once(4, read))
    assert len(asked) == 4
    assert len(store.read("acme", MANY)) == len(MANY)


@pytest.mark.single_server
def test_one_read_of_several_pieces_is_in_flight_at_a_time(redis_server: LocalRedis, redis: Redis) -> None:
    client = client_of(redis_server.url)
    store = vault_of(client)
    store.put(record(MANY[0]))
    with closing(client.get_in_pieces(MANY)) as pieces:
        next(pieces)
        started = time.monotonic()
        with pytest.raises(Overloaded):
            store.read("acme", MANY)
        assert time.monotonic() - started < 1
        assert store.read("acme", MANY[:1]), "a small question goes on"
    assert store.read("acme", MANY)


# Kinds of sockets and processes


@pytest.mark.single_server
def test_tls_connection_is_shared_by_threads(tmp_path: Path) -> None:
    certified = authority(tmp_path / "tls")
    (port,) = free_ports(1)
    tls = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(certified.ca))
    own = ("--tls-cert-file", str(certified.certificate), "--tls-key-file", str(certified.key))
    server = LocalRedis(tmp_path / "redis", (*tls, *own))
    try:
        client = client_of(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certified.ca}")
        store = vault_of(client)
        store.ping()
        test_threads_read_their_own_replies_from_one_connection(store)
        test_large_and_small_replies_are_read_side_by_side(store)
        started = time.monotonic()
        with suspended(server.pid):
            failed = at_once(4, lambda _: store.put(record(content=text(2_000_000))))
        assert time.monotonic() - started < 1
        assert errors(failed) == [StoreUnavailable] * 4
        store.put(record())
        client.close()
        until(lambda: not threads_of_connections(), "reader and writer have ended")
    finally:
        server.stop()


def run_python(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""


@pytest.mark.single_server
@pytest.mark.parametrize("used", ["before", "never"])
def test_forked_process_has_a_connection_of_its_own(redis_server: LocalRedis, used: str) -> None:
    script = """
import os, sys
from resolver.config.secret import Secret
from resolver.store.connect import connect
from resolver.store.multiplexed import multiplexed
connection = multiplexed(connect(Secret.of(sys.argv[1]), 2).connection_pool)
def own(): return connection.call("CLIENT", "ID")
before = own() if sys.argv[2] == "before" else None
reading, writing = os.pipe()
if not (child := os.fork()):
    os.write(writing, str(own()).encode())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert int(os.read(reading, 100)) != own()
assert before in (None, own()), "the parent's goes on"
connection.close()
"""
    run_python(script, redis_server.url, used)


@pytest.mark.single_server
def test_greenlets_share_a_connection_when_everything_is_patched(redis_server: LocalRedis) -> None:
    script = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, os, resource, signal, sys, time
from redis import TimeoutError
from resolver.config.secret import Secret
from resolver.store.connect import connect
from tests.waiting import until

client = connect(Secret.of(sys.argv[1]), 2)
server = int(sys.argv[2])
script = client.register_script("return redis.call('SET', KEYS[1], ARGV[1]) and ARGV[1]")

def use(number):
    for turn in range(20):
        value = b"%d-%d" % (number, turn) * 1000
        assert script(keys=[f"k{number}"], args=[value]) == value
        assert list(client.get_in_pieces([f"k{number}", "absent"])) == [[value, None]]

def caught(number):
    try:
        use(number)
    except Exception as error:
        return type(error)

def together():
    running = [gevent.spawn(caught, number) for number in range(30)]
    gevent.joinall(running)
    return {one.value for one in running}

assert together() == {None}, "each has its own replies"

os.kill(server, signal.SIGSTOP)
started = time.monotonic()
failed = together()
os.kill(server, signal.SIGCONT)
assert failed == {TimeoutError}
assert time.monotonic() - started < 1
assert together() == {None}

def switches_in(seconds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    time.sleep(seconds)  # what must not happen in it has no state to wait for
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
until(lambda: switches_in(0.1) < 2, "the other greenlets sleep")
assert switches_in(1) < 5, "an idle process sleeps"

client.close()
"""
    run_python(script, redis_server.url, str(redis_server.pid))


@pytest.mark.single_server
def test_idle_process_sleeps(redis_server: LocalRedis) -> None:
    script = """
import resource, sys, time
from resolver.config.secret import Secret
from resolver.store.connect import connect
from tests.waiting import until
client = connect(Secret.of(sys.argv[1]), 2)
list(client.get_in_pieces(["k"]))
def switches_in(seconds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    time.sleep(seconds)  # what must not happen in it has no state to wait for
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
until(lambda: switches_in(0.1) < 2, "the other threads sleep")
assert switches_in(1) < 5
client.close()
"""
    run_python(script, redis_server.url)
