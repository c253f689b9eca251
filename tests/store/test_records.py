"""The store on a real Redis: records are read as they were put, changes don't overwrite each other, outages
raise."""

from __future__ import annotations

import threading
import time

import pytest
from msgspec.structs import replace
from redis import Redis

from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.deadline import CURRENT, Deadline
from resolver.errors import Overloaded, Overtaken, StoreUnavailable, Unavailable
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.record import Record, opened
from resolver.store.records import Changed, RecordStore, Retention
from tests.store.conftest import INDEX, MakeStore, guard_of, keyring, record
from tests.support import keys_of, stored
from tests.waiting import until

DAY = 86_400


def only_key(redis: Redis) -> bytes:
    (name,) = keys_of(redis)
    return name


def test_put_record_is_read(store: RecordStore) -> None:
    store.put(record(content=b'{"a":1}'))
    assert store.read("acme", ["n-1", "unknown"]) == {"n-1": record(content=b'{"a":1}')}


@pytest.mark.single_server
def test_write_and_read_succeed_after_the_server_closed_the_connection(
    store: RecordStore, redis: Redis
) -> None:
    def close_connections() -> None:
        redis.client_kill_filter(_type="normal", skipme=True)
        # Its reader notices; a write that is quicker than that fails, since it may have been done.
        until(lambda: all(thread.name != "redis-reader" for thread in threading.enumerate()))

    store.put(record())
    close_connections()
    store.put(record("n-2"))
    close_connections()
    assert store.read("acme", ["n-1", "n-2"]).keys() == {"n-1", "n-2"}


@pytest.mark.single_server
def test_scripts_are_loaded_again_after_the_server_lost_them(store: RecordStore, redis: Redis) -> None:
    store.put(record())
    redis.script_flush()
    store.put(record("n-2"))
    assert store.read("acme", ["n-2"])


def test_records_of_the_same_id_in_two_organizations_are_separate(store: RecordStore) -> None:
    store.put(record(organization="acme", content=b'{"of":"acme"}'))
    store.put(record(organization="zeta", content=b'{"of":"zeta"}'))
    assert store.read("acme", ["n-1"])["n-1"].content == b'{"of":"acme"}'
    assert store.read("zeta", ["n-1"])["n-1"].content == b'{"of":"zeta"}'
    store.remove("acme", "n-1")
    assert store.read("zeta", ["n-1"])


def test_content_expires_when_its_retention_ends(make_store: MakeStore, redis: Redis) -> None:
    make_store(retention_days=7).put(record())
    assert 7 * DAY - 5 < redis.ttl(only_key(redis)) <= 7 * DAY


def test_record_does_not_expire_when_the_retention_is_zero(make_store: MakeStore, redis: Redis) -> None:
    make_store(retention_days=0).put(record())
    assert redis.ttl(only_key(redis)) == -1


def test_change_keeps_the_expiry(store: RecordStore, redis: Redis) -> None:
    store.put(record())
    redis.expire(only_key(redis), 100)
    store.change("acme", "n-1", lambda held: (replace(held, document="doc-2"), None))
    assert store.read("acme", ["n-1"])["n-1"].document == "doc-2"
    assert 95 < redis.ttl(only_key(redis)) <= 100


def test_change_to_none_removes_the_record(store: RecordStore, redis: Redis) -> None:
    store.put(record())
    assert store.change("acme", "n-1", lambda held: (None, None))
    assert not keys_of(redis)


def test_change_returns_none_when_no_record_is_held(store: RecordStore) -> None:
    assert not store.change("acme", "n-1", lambda held: (held, None))


def test_change_runs_again_on_the_latest_record_when_overtaken(store: RecordStore) -> None:
    store.put(record())
    seen: list[str] = []

    def change(held: Record) -> Changed:
        seen.append(held.document)
        if len(seen) == 1:
            store.put(record(document="from somebody else"))
        return replace(held, actor="changed"), None

    assert store.change("acme", "n-1", change)
    held = store.read("acme", ["n-1"])["n-1"]
    assert (held.document, held.actor) == ("from somebody else", "changed")


def test_change_raises_overtaken_after_three_attempts(store: RecordStore) -> None:
    store.put(record())

    def change(held: Record) -> Changed:
        store.put(record())
        return replace(held, actor="changed"), None

    with pytest.raises(Overtaken):
        store.change("acme", "n-1", change)


def test_concurrent_dismissals_are_all_recorded(make_store: MakeStore) -> None:
    store = make_store()
    store.put(record())

    def leave(user: str) -> None:
        while True:
            try:
                store.change(
                    "acme", "n-1", lambda held: (replace(held, dismissed_by=(*held.dismissed_by, user)), None)
                )
            except Overtaken:
                continue
            return

    threads = [threading.Thread(target=leave, args=(f"user-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(store.read("acme", ["n-1"])["n-1"].dismissed_by) == {f"user-{n}" for n in range(4)}


@pytest.mark.single_server
def test_a_thousand_ids_are_read_with_ten_mgets_and_nothing_else(store: RecordStore, redis: Redis) -> None:
    ids = [f"n-{n}" for n in range(1000)]
    for id_ in ids[::10]:
        store.put(record(id_))
    store.read("acme", ids[:1])  # so that the process has its connection
    redis.config_resetstat()
    assert len(store.read("acme", ids)) == 100
    calls = redis.info("commandstats")
    assert calls["cmdstat_mget"]["calls"] == 10
    assert set(calls) <= {"cmdstat_mget", "cmdstat_config|resetstat", "cmdstat_get", "cmdstat_info"}


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "swapped", "not ours"])
def test_a_record_that_does_not_open_is_absent_and_counted(
    store: RecordStore, redis: Redis, damage: str
) -> None:
    store.put(record())
    name = only_key(redis)
    store.put(record("n-2"))
    other = next(key for key in keys_of(redis) if key != name)
    sealed = stored(redis, name)
    redis.set(
        name,
        {
            "flipped bit": sealed[:-1] + bytes([sealed[-1] ^ 1]),
            "truncated": sealed[:20],
            "swapped": stored(redis, other),
            "not ours": b"hello",
        }[damage],
    )
    assert store.read("acme", ["n-1"]) == {}
    assert store.unreadable == 1


def test_a_scan_finds_every_record(store: RecordStore) -> None:
    for n in range(1200):
        store.put(record(f"n-{n}"))
    assert {held.notification for held in store.scan()} == {f"n-{n}" for n in range(1200)}


def test_an_unreachable_redis_is_unavailable_within_a_second_and_never_not_found() -> None:
    client = connect(Secret.of("redis://127.0.0.1:1/0"), connections=2)
    keyspace, envelope = Keyspace(INDEX), Envelope(keyring("k1"))
    store = RecordStore(client, guard_of(client, keyspace, envelope), keyspace, envelope, Retention())
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.read("acme", ["n-1"])
    assert time.monotonic() - started < 1


def test_request_without_time_sends_nothing_to_redis(store: RecordStore) -> None:
    store.put(record())
    token = CURRENT.set(Deadline.after(0.2))
    try:
        with pytest.raises(Unavailable):
            store.read("acme", ["n-1"])
    finally:
        CURRENT.reset(token)
    assert store.read("acme", ["n-1"])


@pytest.mark.single_server
def test_full_redis_refuses_adds_and_permits_reads(store: RecordStore, redis: Redis) -> None:
    store.put(record())
    try:
        redis.config_set("maxmemory", "1mb")
        with pytest.raises(StoreUnavailable):
            store.put(record("n-2", content=b"x" * 30_000))
        assert store.read("acme", ["n-1"])
    finally:
        redis.config_set("maxmemory", "0")


def test_open_admits_the_bytes_of_each_piece_before_the_next(store: RecordStore) -> None:
    ids = [f"n-{n}" for n in range(150)]
    for id_ in ids[:120]:
        store.put(record(id_))
    admitted: list[int] = []
    held, _ = store.open(opened, "acme", ids, admit=admitted.append)
    assert len(list(held)) == 120
    first, second = admitted
    assert first > 4 * second > 0, "a hundred records, then twenty of fifty"


def test_open_stops_when_a_piece_is_not_admitted(store: RecordStore) -> None:
    store.put(record())

    def refuse(_size: int) -> None:
        raise Overloaded("no room")

    with pytest.raises(Overloaded):
        store.open(opened, "acme", ["n-1"], admit=refuse)
    assert store.read("acme", ["n-1"]).keys() == {"n-1"}
