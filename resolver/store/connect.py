"""One way to a Redis client, whatever stands behind the URL: a server, a Sentinel's service, a cluster.

Every wait is bounded: redis-py's own defaults let one GET against a silent server take a minute. Nothing is
retried here, because a retried write may run twice; `store.py` repeats reads, which is safe.
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
# The pools of Sentinel and cluster refuse where the other one lets wait: more than a process has threads.
_INSTEAD_OF_WAITING = 3


def connect(url: Secret, connections: int) -> Redis:
    """A client on bounded pools; nothing is sent yet. Build it after fork: sockets don't survive one."""
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
        # The URL may hold a password: it is not repeated.
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
        **_manners(address),
        # Not understood over a Unix socket.
        **({} if address.path else {"socket_connect_timeout": CONNECT_SECONDS}),
    )
    return Client(pool)


def _sentinel(address: RedisAddress, connections: int) -> Redis:
    """Asked anew for each connection who is the master now."""
    tls = {"ssl": True, **_certificates(address)} if address.tls else {}
    asking = {
        "username": address.options.get("sentinel_username"),
        "password": address.options.get("sentinel_password"),
        "socket_timeout": CONNECT_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        **tls,
    }
    manners = {**_manners(address), **tls, "socket_connect_timeout": CONNECT_SECONDS}
    sentinel = Sentinel(list(address.hosts), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(  # type: ignore[no-untyped-call]
        address.service,
        redis_class=Client,
        max_connections=connections * _INSTEAD_OF_WAITING,
        **manners,
    )
    return cast(Redis, client)


def _cluster(address: RedisAddress, connections: int) -> Redis:
    manners = {name: value for name, value in _manners(address).items() if name != "db"}
    cluster = Cluster(
        address.hosts,
        max_connections=connections * _INSTEAD_OF_WAITING,
        socket_connect_timeout=CONNECT_SECONDS,
        # A part that can't be reached must not take the others with it.
        require_full_coverage=False,
        **manners,
        **({"ssl": True, **_certificates(address)} if address.tls else {}),
    )
    # It takes what a client takes; `cluster.py` knows where that isn't so.
    return cast(Redis, cluster)


def _manners(address: RedisAddress) -> dict[str, Any]:
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
