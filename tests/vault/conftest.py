from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from resolver.record import Record
from resolver.secret import Secret
from resolver.vault.connect import connect
from resolver.vault.envelope import Envelope
from resolver.vault.guard import Guard
from resolver.vault.identity import DatabaseIdentity, Identity
from resolver.vault.keyring import Keyring
from resolver.vault.keyspace import Keyspace
from resolver.vault.restored import Certificates
from resolver.vault.store import Keeping, Vault

MakeVault = Callable[..., Vault]
INDEX, API_KEY = Secret(bytes(range(32))), Secret.of("velt-api-key")


def keyring(*ids: str) -> Keyring:
    return Keyring({id_: Secret(id_.encode().ljust(32, b"-")) for id_ in ids})


def guard_of(
    client: Redis, keyspace: Keyspace, envelope: Envelope, api_key: Secret = API_KEY, kept: str = ""
) -> Guard:
    identity = DatabaseIdentity(client, Identity.of(keyspace, api_key), keyspace, envelope)
    return Guard(client, identity, Certificates(kept) if kept else None)


def record(notification: str = "n-1", organization: str = "acme", **changes: object) -> Record:
    given: dict[str, object] = {"document": "doc-1", "actor": "ana", "audience": ("ben",), "everyone": False}
    return Record(organization=organization, notification=notification, **{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_vault(redis_server: LocalRedis, redis: Redis) -> MakeVault:
    def make(
        *key_ids: str, retention_days: int = 90, index: Secret = INDEX, api_key: Secret = API_KEY
    ) -> Vault:
        client, keyspace = connect(Secret.of(redis_server.url), connections=4), Keyspace(index)
        envelope = Envelope(keyring(*(key_ids or ("k1",))))
        guard = guard_of(client, keyspace, envelope, api_key)
        return Vault(client, guard, keyspace, envelope, Keeping(retention_days))

    return make


@pytest.fixture
def vault(make_vault: MakeVault) -> Vault:
    return make_vault()
