"""Several who ask on one connection before the first reads, against a real server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from resolver import aside
from resolver.cli.local_redis import LocalRedis
from resolver.errors import VaultUnavailable
from resolver.vault.pool import Pool
from resolver.vault.store import Vault
from tests.system.processes import suspended
from tests.vault.conftest import record

pytestmark = pytest.mark.single_server

IDS = [f"n-{number}" for number in range(8)]


class Readers:
    """Of one thread: each asks for one notification, and finds it or is told why not."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.found: dict[str, list[str]] = {}
        self.written: list[str] = []
        self.failed: list[VaultUnavailable] = []

    def begin(self, ids: list[str]) -> None:
        for id_ in ids:
            aside.begin(partial(self.read, id_))

    def write(self, id_: str, *, steps_aside: bool) -> None:
        try:
            with aside.offered(steps_aside):
                self.vault.put(record(id_))
            self.written.append(id_)
        except VaultUnavailable as error:
            self.failed.append(error)

    def read(self, id_: str, *, steps_aside: bool = True) -> None:
        try:
            with aside.offered(steps_aside):
                self.found[id_] = list(self.vault.read("acme", [id_]))
        except VaultUnavailable as error:
            self.failed.append(error)


@pytest.fixture
def readers(vault: Vault) -> Iterator[Readers]:
    for id_ in IDS:
        vault.put(record(id_))
    vault.read("acme", IDS)  # the connection is open
    yield Readers(vault)
    assert not aside.number()


def each_its_own(found: dict[str, list[str]]) -> bool:
    return found == {id_: [id_] for id_ in IDS}


def test_each_reads_its_own_answer(readers: Readers) -> None:
    readers.begin(IDS)
    assert not readers.found, "all of them have asked, and nobody has read"
    aside.all_go_on()
    assert each_its_own(readers.found)


def test_one_that_reads_without_stepping_aside_reads_its_own_too(readers: Readers) -> None:
    readers.begin(IDS[:3])
    aside.begin(partial(readers.read, IDS[3], steps_aside=False))
    assert len(readers.found) == 4, "who asked before has read before"
    readers.begin(IDS[4:])
    aside.all_go_on()
    assert each_its_own(readers.found)


def test_an_answer_that_is_read_out_of_turn_is_nobodys(readers: Readers) -> None:
    line = cast(Pool, readers.vault._redis.connection_pool)._line()
    first, second = line.ask(("ECHO", "first")), line.ask(("ECHO", "second"))
    for number in (second, first):
        with pytest.raises(RedisConnectionError):
            line.read(number)
    assert line.read(line.ask(("ECHO", "third"))) == b"third"


@pytest.mark.parametrize("steps_aside", [True, False])
def test_a_write_between_them_reads_its_own_too(readers: Readers, *, steps_aside: bool) -> None:
    readers.begin(IDS[:3])
    aside.begin(partial(readers.write, "n-new", steps_aside=steps_aside))
    assert len(readers.found) == (0 if steps_aside else 3), "one that waits lets the others go on before"
    readers.begin(IDS[3:])
    aside.all_go_on()
    assert each_its_own(readers.found)
    assert readers.written == ["n-new"]
    assert readers.vault.read("acme", ["n-new"])


def test_what_was_written_on_a_connection_that_is_let_go_of_is_neither_acknowledged_nor_repeated(
    readers: Readers,
) -> None:
    for id_ in ("n-1", "n-2"):
        aside.begin(partial(readers.write, id_, steps_aside=True))
    readers.vault._redis.connection_pool.disconnect(inuse_connections=False)
    aside.begin(partial(readers.write, "n-3", steps_aside=True))
    aside.all_go_on()
    assert readers.written == ["n-3"]
    assert len(readers.failed) == 2


def test_a_connection_that_was_closed_before_costs_no_write(readers: Readers, redis: Redis) -> None:
    redis.client_kill_filter(_type="normal", skipme=True)
    for id_ in ("n-1", "n-2", "n-3"):
        aside.begin(partial(readers.write, id_, steps_aside=True))
    aside.all_go_on()
    assert readers.written == ["n-1", "n-2", "n-3"]


@pytest.mark.parametrize("when", ["before they ask", "after they have asked"])
def test_when_the_server_closes_the_connection_all_ask_once_more(
    readers: Readers, redis: Redis, when: str
) -> None:
    def close() -> None:
        redis.client_kill_filter(_type="normal", skipme=True)

    steps: list[Callable[[], None]] = [partial(readers.begin, IDS), close]
    for step in steps if when.startswith("after") else reversed(steps):
        step()
    aside.all_go_on()
    assert not readers.failed
    assert each_its_own(readers.found)


def test_when_others_connections_are_let_go_of_all_ask_once_more(readers: Readers) -> None:
    readers.begin(IDS[:3])
    readers.vault._redis.connection_pool.disconnect(inuse_connections=False)
    readers.begin(IDS[3:])
    aside.all_go_on()
    assert not readers.failed
    assert each_its_own(readers.found)


def test_a_server_that_hangs_keeps_all_of_them_waiting_once(
    readers: Readers, redis_server: LocalRedis
) -> None:
    with suspended(redis_server.pid):
        started = time.monotonic()
        readers.begin(IDS)
        aside.all_go_on()
        assert time.monotonic() - started < 1
    assert len(readers.failed) == len(IDS)
    readers.begin(IDS)
    assert each_its_own(readers.found), "it counts as one failure, and nobody steps aside for a while"
    readers.found.clear()
    time.sleep(aside.WHILE)
    readers.begin(IDS)
    assert not readers.found
    aside.all_go_on()
    assert each_its_own(readers.found)


def test_who_goes_on_late_has_waited_already(readers: Readers, redis_server: LocalRedis) -> None:
    with suspended(redis_server.pid):
        readers.begin(IDS)
        time.sleep(0.45)
        started = time.monotonic()
        aside.all_go_on()
        assert time.monotonic() - started < 0.3
    assert len(readers.failed) == len(IDS)
    time.sleep(aside.WHILE)


def test_what_was_asked_long_ago_and_sent_late_has_all_its_time(
    readers: Readers, redis_server: LocalRedis
) -> None:
    readers.begin(IDS[:3])
    time.sleep(0.46)
    with suspended(redis_server.pid):
        resume = threading.Timer(0.2, os.kill, (redis_server.pid, signal.SIGCONT))
        resume.start()
        aside.all_go_on()
        resume.join()
    assert len(readers.found) == 3
    time.sleep(aside.WHILE)


def test_an_answer_that_arrived_is_read_however_late(readers: Readers) -> None:
    readers.begin(IDS)
    time.sleep(0.7)
    aside.all_go_on()
    assert each_its_own(readers.found)
