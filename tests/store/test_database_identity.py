"""A database that was made with other keys is not touched."""

from __future__ import annotations

import pytest
from redis import Redis

from resolver.config.secret import Secret
from resolver.errors import OutdatedSchema, StoreUnavailable, WrongDatabase
from resolver.store.keyspace import IDENTITY_KEY
from tests.clocks import Clock
from tests.store.conftest import MakeStore, record
from tests.support import stored

OTHER = Secret(b"another index key, 32 bytes long")
OTHER_API_KEY = Secret.of("the API key of another environment")


def test_the_first_process_claims_an_empty_database(make_store: MakeStore, redis: Redis) -> None:
    make_store().ping()
    assert redis.get(IDENTITY_KEY)


def test_a_process_with_another_index_key_reads_and_writes_nothing(
    make_store: MakeStore, redis: Redis
) -> None:
    make_store().put(record())
    stranger, before = make_store(index=OTHER), sorted(redis.keys())
    for attempt in (lambda: stranger.put(record()), lambda: stranger.read("acme", ["n-1"]), stranger.ping):
        with pytest.raises(StoreUnavailable):
            attempt()
    assert sorted(redis.keys()) == before


def test_database_identity_refuses_another_velt_api_key(make_store: MakeStore, redis: Redis) -> None:
    """Two deployments with copied secrets would share records, and send each other's commands."""
    make_store().put(record())
    stranger, before = make_store(api_key=OTHER_API_KEY), sorted(redis.keys())
    for attempt in (lambda: stranger.put(record()), lambda: stranger.read("acme", ["n-1"]), stranger.ping):
        with pytest.raises(WrongDatabase) as refused:
            attempt()
        assert "resolver keys adopt" in refused.value.reason
    assert sorted(redis.keys()) == before


def test_database_identity_refuses_the_schema_of_an_earlier_version(
    make_store: MakeStore, redis: Redis
) -> None:
    redis.set(IDENTITY_KEY, b"1:0123456789abcdef/64")
    with pytest.raises(WrongDatabase) as refused:
        make_store().ping()
    assert "schema 1" in refused.value.reason


def test_database_with_records_is_not_claimed_with_other_keys(make_store: MakeStore, redis: Redis) -> None:
    make_store().put(record())
    redis.delete(IDENTITY_KEY)
    for stranger in (make_store(index=OTHER), make_store("k9")):
        with pytest.raises(StoreUnavailable):
            stranger.ping()
    assert not redis.exists(IDENTITY_KEY)


def test_lost_identity_is_written_again_when_the_records_open(make_store: MakeStore, redis: Redis) -> None:
    make_store().put(record())
    redis.delete(IDENTITY_KEY)
    assert make_store().read("acme", ["n-1"])
    assert redis.exists(IDENTITY_KEY)


def test_process_recovers_when_the_right_database_is_back(make_store: MakeStore, redis: Redis) -> None:
    make_store().ping()
    stranger = make_store(index=OTHER)
    with pytest.raises(StoreUnavailable):
        stranger.ping()
    redis.flushall()
    stranger.ping()


def test_running_process_notices_a_restored_database_within_a_second(
    make_store: MakeStore, redis: Redis, clock: Clock
) -> None:
    store = make_store(clock=clock)
    store.ping()
    redis.set(IDENTITY_KEY, b"1:somebody-elses/64")
    clock.now += 1
    with pytest.raises(StoreUnavailable):
        store.put(record())


def test_database_of_a_later_schema_is_not_touched(make_store: MakeStore, redis: Redis) -> None:
    make_store().ping()
    value = stored(redis, IDENTITY_KEY)
    redis.set(IDENTITY_KEY, b"999:" + value.split(b":", 1)[1])
    with pytest.raises(StoreUnavailable):
        make_store().ping()


def test_database_of_schema_2_is_outdated(make_store: MakeStore, redis: Redis) -> None:
    """Its records can't be decoded. They are not unreadable ones, and nothing is written beside them."""
    store = make_store()
    store.put(record())
    redis.set(IDENTITY_KEY, b"2:" + stored(redis, IDENTITY_KEY).split(b":", 1)[1])
    outdated, before = make_store(), sorted(redis.keys())
    for attempt in (
        lambda: outdated.put(record("n-2")),
        lambda: outdated.read("acme", ["n-1"]),
        outdated.ping,
    ):
        with pytest.raises(OutdatedSchema) as refused:
            attempt()
        assert "schema 2" in refused.value.reason
    assert outdated.state() == "outdated"
    assert outdated.unreadable == 0
    assert sorted(redis.keys()) == before


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"nonsense"])
def test_identity_that_cannot_be_parsed_is_refused(
    make_store: MakeStore, redis: Redis, garbage: bytes
) -> None:
    redis.set(IDENTITY_KEY, garbage)
    with pytest.raises(StoreUnavailable):
        make_store().ping()
