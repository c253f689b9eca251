from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis import Redis

from resolver.circuit_breaker import CircuitBreaker
from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope, Keyring
from resolver.store.connect import connect
from resolver.store.database_identity import DatabaseIdentity, Identity
from resolver.store.guard import Guard
from resolver.store.keyspace import Keyspace
from resolver.store.record import Record
from resolver.store.records import RecordStore, Retention
from resolver.store.restored_backup import Certificates
from tests.clocks import Clock

MakeStore = Callable[..., RecordStore]
INDEX, API_KEY = Secret(bytes(range(32))), Secret.of("velt-api-key")


def keyring(*ids: str) -> Keyring:
    return Keyring({id_: Secret(id_.encode().ljust(32, b"-")) for id_ in ids})


def guard_of(  # noqa: PLR0917
    client: Redis,
    keyspace: Keyspace,
    envelope: Envelope,
    api_key: Secret = API_KEY,
    kept: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Guard:
    identity = DatabaseIdentity(client, Identity.of(keyspace, api_key), keyspace, envelope, clock)
    certificates = Certificates(kept, clock) if kept else None
    return Guard(client, identity, certificates, CircuitBreaker.for_waiting_callers("redis", clock))


def record(notification: str = "n-1", organization: str = "acme", **changes: object) -> Record:
    given: dict[str, object] = {"document": "doc-1", "actor": "ana", "audience": ("ben",), "everyone": False}
    return Record(organization=organization, notification=notification, **{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_store(redis_server: LocalRedis, redis: Redis) -> MakeStore:
    def make(
        *key_ids: str,
        retention_days: int = 90,
        index: Secret = INDEX,
        api_key: Secret = API_KEY,
        kept: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> RecordStore:
        client, keyspace = connect(Secret.of(redis_server.url), connections=4), Keyspace(index)
        envelope = Envelope(keyring(*(key_ids or ("k1",))))
        guard = guard_of(client, keyspace, envelope, api_key, kept, clock)
        return RecordStore(client, guard, keyspace, envelope, Retention(retention_days))

    return make


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(make_store: MakeStore) -> RecordStore:
    return make_store()
