"""The guard: timeouts open the circuit breaker, and any answer closes it again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import ReadOnlyError, ResponseError
from redis import TimeoutError as RedisTimeoutError

from resolver.circuit_breaker import FIRST_SECONDS
from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.errors import StoreUnavailable
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.records import RecordStore
from tests.clocks import Clock
from tests.store.conftest import INDEX, MakeStore, guard_of, keyring, record


@pytest.fixture
def store(make_store: MakeStore, clock: Clock) -> RecordStore:
    return make_store(clock=clock)


def fail(store: RecordStore, error: Exception) -> None:
    with pytest.raises(StoreUnavailable), store.guard:
        raise error


@pytest.mark.parametrize("kind", [RedisTimeoutError, RedisConnectionError])
def test_guard_refuses_callers_at_once_after_three_timeouts(
    store: RecordStore, clock: Clock, kind: type[Exception]
) -> None:
    for _ in range(3):
        fail(store, kind("x"))
    clock.now += FIRST_SECONDS
    fail(store, kind("x"))  # the probe
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.ping()
    assert time.monotonic() - started < 0.1


def test_guard_admits_all_callers_after_a_successful_probe(store: RecordStore, clock: Clock) -> None:
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    clock.now += FIRST_SECONDS
    store.ping()
    store.put(record())
    assert store.read("acme", ["n-1"])


def test_error_reply_of_redis_does_not_count_as_a_failure(store: RecordStore, clock: Clock) -> None:
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    clock.now += FIRST_SECONDS
    fail(store, ResponseError("OOM command not allowed"))
    store.ping()
    assert store.read("acme", ["n-1"]) == {}


@pytest.mark.single_server
def test_guard_drops_connections_when_the_server_became_a_replica(redis_server: LocalRedis) -> None:
    client = connect(Secret.of(redis_server.url), connections=1)
    guard = guard_of(client, Keyspace(INDEX), Envelope(keyring("k1")))
    before = client.client_id()
    with guard:
        assert client.client_id() == before
    with pytest.raises(StoreUnavailable), guard:
        raise ReadOnlyError("You can't write against a read only replica.")
    assert client.client_id() != before


def test_require_replayed_leaves_the_probe_to_other_callers(
    make_store: MakeStore, clock: Clock, tmp_path: Path
) -> None:
    store = make_store(kept=str(tmp_path), clock=clock)
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    clock.now += FIRST_SECONDS
    store.guard.require_replayed()
    store.ping()


def test_require_replayed_passes_and_counts_a_failure_when_redis_is_down(tmp_path: Path) -> None:
    away = connect(Secret.of("redis://127.0.0.1:1/0"), connections=2)
    guard = guard_of(away, Keyspace(INDEX), Envelope(keyring("k1")), kept=str(tmp_path))
    started = time.monotonic()
    for _ in range(50):
        guard.require_replayed()
    assert time.monotonic() - started < 2
