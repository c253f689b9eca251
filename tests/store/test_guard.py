"""The guard: timeouts turn callers away for a while, any answer lets them in again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import ReadOnlyError, Redis, ResponseError
from redis import TimeoutError as RedisTimeoutError

from resolver.circuit_breaker import FIRST_SECONDS
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.errors import StoreUnavailable
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.records import RecordStore
from resolver.store.restored_backup import Certificates
from tests.store.conftest import INDEX, guard_of, keyring, record


def fail(store: RecordStore, error: Exception) -> None:
    with pytest.raises(StoreUnavailable), store.guard:
        raise error


@pytest.mark.parametrize("kind", [RedisTimeoutError, RedisConnectionError])
def test_after_three_timeouts_in_a_row_callers_are_turned_away_at_once(
    store: RecordStore, kind: type[Exception]
) -> None:
    for _ in range(3):
        fail(store, kind("x"))
    time.sleep(FIRST_SECONDS)
    fail(store, kind("x"))  # the probe
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.ping()
    assert time.monotonic() - started < 0.1


def test_a_probe_that_is_answered_lets_everybody_in(store: RecordStore) -> None:
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    time.sleep(FIRST_SECONDS)
    store.ping()
    store.put(record())
    assert store.read("acme", ["n-1"])


def test_an_error_that_redis_answers_is_no_silence(store: RecordStore, redis: Redis) -> None:
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    time.sleep(FIRST_SECONDS)
    fail(store, ResponseError("OOM command not allowed"))
    store.ping()
    assert store.read("acme", ["n-1"]) == {}


@pytest.mark.single_server
def test_a_replica_under_our_feet_drops_the_connections(store: RecordStore) -> None:
    store.ping()
    pool = store._redis.connection_pool
    before = pool.get_connection()
    pool.release(before)
    fail(store, ReadOnlyError("You can't write against a read only replica."))
    assert before._sock is None


def test_a_look_for_what_must_be_replayed_leaves_the_probe_to_whoever_needs_redis(
    store: RecordStore, tmp_path: Path
) -> None:
    store.guard._certificates = Certificates(str(tmp_path))
    for _ in range(3):
        fail(store, RedisTimeoutError("x"))
    time.sleep(FIRST_SECONDS)
    store.guard.require_replayed()
    store.ping()


def test_a_look_for_what_must_be_replayed_counts_an_outage_and_passes(tmp_path: Path) -> None:
    away = connect(Secret.of("redis://127.0.0.1:1/0"), connections=2)
    guard = guard_of(away, Keyspace(INDEX), Envelope(keyring("k1")), kept=str(tmp_path))
    started = time.monotonic()
    for _ in range(50):
        guard.require_replayed()
    assert time.monotonic() - started < 2
