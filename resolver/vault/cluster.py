"""A Redis Cluster that looks like one client, and what differs about it in the few places where it doesn't.

All keys of a partition share a slot, so a script or a MULTI never spans nodes. What does: reading many
records, looking at every key, and what is asked of each server rather than of the data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from redis import ConnectionError, Redis, RedisError  # noqa: A004 - Redis's own
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException

from resolver.redis_address import Host

Values = list[bytes | None]
Item = TypeVar("Item")


class Cluster:
    """Connects at its first use: the library's own client does when it is made, and a Redis that is away
    must not stop a start."""

    def __init__(self, hosts: Sequence[Host], **settings: Any) -> None:
        self._hosts, self._settings = hosts, settings
        self._lock = threading.Lock()
        self._client: RedisCluster | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connected(), name)

    def connected(self) -> RedisCluster:
        with self._lock:
            if self._client is None:
                nodes = [ClusterNode(*host) for host in self._hosts]  # type: ignore[no-untyped-call]
                try:
                    self._client = RedisCluster(startup_nodes=nodes, **self._settings)
                except RedisClusterException as error:
                    # No relative of what a single server raises when it is away; the same thing to us.
                    raise ConnectionError(str(error)) from error
            return self._client

    def register_script(self, text: str) -> Callable[..., Any]:
        def run(keys: Sequence[str] = (), args: Sequence[Any] = (), client: Any = None) -> Any:
            return self.connected().register_script(text)(keys=keys, args=args, client=client)

        return run

    def close(self) -> None:
        if self._client:
            self._client.close()


def get_all(redis: Redis, names: Sequence[str]) -> Values:
    """In one round trip; of a cluster, in one to each node that has some."""
    if not isinstance(redis, Cluster):
        return cast(Values, redis.mget(names))
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.get(name)
    return cast(Values, pipeline.execute())


def primaries(redis: Redis) -> list[Redis]:
    """Every server that holds some of the data, as a client of its own."""
    if not isinstance(redis, Cluster):
        return [redis]
    nodes = redis.connected().get_primaries()  # type: ignore[no-untyped-call]
    return [cast(Redis, node.redis_connection) for node in nodes]


def holder(redis: Redis, name: str) -> Redis:
    """The server that holds this key. Pipelines there may run scripts, which a cluster's own may not; when
    the key has moved, they fail, and are tried again."""
    if not isinstance(redis, Cluster):
        return redis
    node = redis.connected().get_node_from_key(name)  # type: ignore[no-untyped-call]
    return cast(Redis, node.redis_connection)


def by_server(redis: Redis, items: Iterable[Item], key_of: Callable[[Item], str]) -> dict[Redis, list[Item]]:
    """What each server is to be asked, when it is asked for all of it at once."""
    if not isinstance(redis, Cluster):
        return {redis: list(items)}
    found: dict[Redis, list[Item]] = {}
    for item in items:
        found.setdefault(holder(redis, key_of(item)), []).append(item)
    return found


def let_go_of_connections(redis: Redis) -> None:
    """Those that nobody uses now: they lead to what is no master any more."""
    if isinstance(redis, Cluster):
        with suppress(RedisError, RedisClusterException):  # looked for again at the next use
            redis.connected().nodes_manager.initialize()
    else:
        redis.connection_pool.disconnect(inuse_connections=False)
