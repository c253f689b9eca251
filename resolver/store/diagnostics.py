"""Facts about a Redis for `resolver check`, mostly from INFO: managed services forbid CONFIG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisError

from resolver.config import redis_url
from resolver.config.secret import Secret
from resolver.errors import StoreUnavailable
from resolver.store.cluster import primaries
from resolver.store.connect import connect
from resolver.store.keyspace import IDENTITY_KEY


@dataclass(frozen=True, slots=True)
class RedisFacts:
    version: str
    eviction: str
    append_only: bool
    fsync: str
    """`always`, `everysec` or `no`; `unknown` where CONFIG is forbidden."""
    encrypted: bool
    """By TLS, or never on a network: a Unix socket, or this host."""
    user: str
    claimed: bool
    """A deployment has written its identity."""


def examine(url: Secret) -> RedisFacts:
    client = connect(url, connections=1)
    try:
        servers = primaries(client)
        infos = [server.info() for server in servers]
        return RedisFacts(
            version=_all_of(infos, "redis_version"),
            eviction=_all_of(infos, "maxmemory_policy"),
            append_only=all(info.get("aof_enabled") for info in infos),
            fsync=", ".join(sorted({_fsync(server) for server in servers})),
            encrypted=redis_url.parse(url.reveal()).is_private,
            user=_user(servers[0]),
            claimed=bool(client.exists(IDENTITY_KEY)),
        )
    except RedisError as error:
        raise StoreUnavailable(f"redis: {type(error).__name__}") from error
    finally:
        client.close()


def _all_of(infos: list[dict[str, Any]], name: str) -> str:
    """The distinct values: several when a cluster's servers differ."""
    return ", ".join(sorted({str(info.get(name, "unknown")) for info in infos}))


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
