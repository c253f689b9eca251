"""Make a Redis client for a URL: of one server, of the master that Sentinels name, or of a cluster.

Every wait has a time-out: with redis-py's defaults, one GET to a server that doesn't answer takes a minute.
Nothing is retried here, because a retried write may run twice; `records.py` repeats reads, which is safe.
"""

from __future__ import annotations

from typing import Any, cast

from redis import BlockingConnectionPool, Redis, RedisError, SSLConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

from resolver.config import redis_url
from resolver.config.redis_url import RedisAddress
from resolver.config.secret import Secret
from resolver.errors import SettingsError
from resolver.store.cluster import Cluster
from resolver.store.multiplexed import Client

CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 0.5
_WAIT_FOR_CONNECTION_SECONDS = 0.2
# The pools of Sentinel and cluster raise instead of waiting for a free connection: have more than threads.
_POOL_FACTOR = 3


def connect(url: Secret, connections: int) -> Redis:
    """Make a client; it connects at first use. Call it after fork: processes must not share sockets."""
    try:
        address = redis_url.parse(url.reveal())
        match address.kind:
            case "single":
                return _single(address, connections)
            case "sentinel":
                return _sentinel(address, connections)
            case "cluster":
                return _cluster(address, connections)
    except (ValueError, TypeError, RedisError):
        # The message doesn't quote the URL, which may contain a password.
        raise SettingsError(["REDIS_URL: is not a usable Redis URL"]) from None


def _single(address: RedisAddress, connections: int) -> Redis:
    where: dict[str, Any] = {"connection_class": UnixDomainSocketConnection, "path": address.path}
    if not address.path:
        host, port = address.hosts[0]
        where = {"host": host, "port": port, **({"connection_class": SSLConnection} if address.tls else {})}
    tls = _certificates(address) if address.tls else {}
    pool = BlockingConnectionPool(  # type: ignore[no-untyped-call]
        max_connections=connections,
        timeout=_WAIT_FOR_CONNECTION_SECONDS,
        **where,
        **tls,
        **_common_options(address),
        # Unix sockets don't accept it.
        **({} if address.path else {"socket_connect_timeout": CONNECT_SECONDS}),
    )
    return Client(pool)


def _sentinel(address: RedisAddress, connections: int) -> Redis:
    """Ask the Sentinels for the master before each connection."""
    tls = {"ssl": True, **_certificates(address)} if address.tls else {}
    asking = {
        "username": address.options.get("sentinel_username"),
        "password": address.options.get("sentinel_password"),
        "socket_timeout": CONNECT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        **tls,
    }
    options = {**_common_options(address), **tls, "socket_connect_timeout": CONNECT_SECONDS}
    sentinel = Sentinel(list(address.hosts), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(  # type: ignore[no-untyped-call]
        address.service,
        redis_class=Client,
        max_connections=connections * _POOL_FACTOR,
        **options,
    )
    return cast(Redis, client)


def _cluster(address: RedisAddress, connections: int) -> Redis:
    options = {name: value for name, value in _common_options(address).items() if name != "db"}
    cluster = Cluster(
        address.hosts,
        max_connections=connections * _POOL_FACTOR,
        socket_connect_timeout=CONNECT_SECONDS,
        # Keep serving the slots that can be reached.
        require_full_coverage=False,
        **options,
        **({"ssl": True, **_certificates(address)} if address.tls else {}),
    )
    # `Cluster` has the methods of a client that this package uses.
    return cast(Redis, cluster)


def _common_options(address: RedisAddress) -> dict[str, Any]:
    return {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "legacy_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _certificates(address: RedisAddress) -> dict[str, str]:
    return {name: value for name, value in address.options.items() if name.startswith("ssl_")}
