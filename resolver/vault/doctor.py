"""What `resolver check` wants to know of a Redis. INFO tells most of it: managed services close CONFIG."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis, RedisError

from resolver.errors import VaultUnavailable
from resolver.secret import Secret
from resolver.vault.connect import connect
from resolver.vault.keyspace import FINGERPRINT_KEY


@dataclass(frozen=True, slots=True)
class RedisFacts:
    version: str
    eviction: str
    append_only: bool
    fsync: str
    """`always`, `everysec` or `no`; `unknown` where CONFIG is closed."""
    encrypted: bool
    """TLS, a Unix socket, or this very host."""
    user: str
    claimed: bool
    """Some deployment's fingerprint is there already."""


def examine(url: Secret) -> RedisFacts:
    client = connect(url, connections=1)
    try:
        info = client.info()
        return RedisFacts(
            version=str(info.get("redis_version", "unknown")),
            eviction=str(info.get("maxmemory_policy", "unknown")),
            append_only=bool(info.get("aof_enabled")),
            fsync=_fsync(client),
            encrypted=_is_private(url.reveal()),
            user=_user(client),
            claimed=bool(client.exists(FINGERPRINT_KEY)),
        )
    except RedisError as error:
        raise VaultUnavailable(f"redis: {type(error).__name__}") from error
    finally:
        client.close()


def _is_private(url: str) -> bool:
    host = url.split("://", 1)[1].rsplit("@", 1)[-1]
    return url.startswith(("rediss://", "unix://")) or host.startswith(("127.", "localhost", "[::1]"))


def _fsync(client: Redis) -> str:
    try:
        return str(client.config_get("appendfsync").get("appendfsync", "unknown"))
    except RedisError:
        return "unknown"


def _user(client: Redis) -> str:
    try:
        name = client.acl_whoami()
    except RedisError:
        return "unknown"
    return name.decode() if isinstance(name, bytes) else name
