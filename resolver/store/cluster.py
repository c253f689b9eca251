"""Redis Cluster behind the interface of one client, and functions for the places where it differs.

All keys of a partition share a slot, so a script or a MULTI never spans nodes. These operations do: reading
many records, scanning all keys, and commands to each server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar, cast

from redis import (
    ConnectionError,  # noqa: A004 - Redis's own
    Redis,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.cluster import ClusterNode, RedisCluster
from redis.commands.core import Script
from redis.exceptions import AskError, ClusterDownError, RedisClusterException, TryAgainError

from resolver.config.redis_url import Host
from resolver.errors import StoreUnavailable
from resolver.store.multiplexed import Client, MultiplexedConnection, PieceReader, Values, multiplexed
from resolver.store.shared_connection import Exchange

_CONNECT_SECONDS = 1.8
"""For reading the cluster's slots the first time: an outage must show within two seconds."""
Item = TypeVar("Item")
# Another node has the key (MOVED is an AskError), or soon will: the command was not executed.
_KEY_MOVED = (AskError, TryAgainError)
_NODE_LOST = (ConnectionError, TimeoutError, ClusterDownError, RedisClusterException)
"""The node is down, or serves no slot: reading the slots again may find another node."""


class Cluster:
    """A cluster client that connects at first use. It reads strings and runs scripts over one connection to
    each node.

    redis-py's own client connects when it is made, so a start would fail without Redis.
    """

    def __init__(self, hosts: Sequence[Host], **settings: Any) -> None:
        self._hosts, self._settings = hosts, settings
        self._connecting, self._refreshing = threading.Lock(), threading.Lock()
        self._client: RedisCluster | None = None
        self._attempt: Future[RedisCluster] | None = None
        """The latest attempt to connect."""
        self._helper: threading.Thread | None = None
        self._connections: dict[str, MultiplexedConnection] = {}
        """By node name."""
        self._reader = PieceReader(self._send_read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connected(), name)

    def connected(self) -> RedisCluster:
        return self._client or self._connect()

    def register_script(self, text: str) -> Script:
        return Script(cast(Redis, self), text.encode())

    def get(self, name: str) -> Any:
        return self._call(name, "GET", name)

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        return self._call(keys_and_args[0], "EVALSHA", sha, numkeys, *keys_and_args)

    def get_many(self, names: Sequence[str]) -> Values:
        return self._send_read(names).values()

    def get_in_pieces(self, names: Sequence[str]) -> Generator[Values, None, None]:
        return self._reader.pieces(names)

    def get_one_by_one(self, names: Sequence[str]) -> Values:
        """Read keys that have moved to other nodes."""
        pipeline = self.connected().pipeline(transaction=False)  # type: ignore[no-untyped-call]
        for name in names:
            pipeline.get(name)
        return cast(Values, pipeline.execute())

    def connection_to(self, key_name: str) -> tuple[str, MultiplexedConnection]:
        """Return the name of the node that holds a key, and the connection to it."""
        node = self.connected().get_node_from_key(key_name)  # type: ignore[no-untyped-call]
        connection = self._connections.get(node.name)
        if connection is None:
            own = multiplexed(node.redis_connection.connection_pool)
            connection = self._connections.setdefault(node.name, own)
        return node.name, connection

    def reset_connections(self) -> None:
        """Read the cluster's slots again, and close connections to nodes that have left.

        Only one thread reads, and no other waits for it: each node that hangs costs a whole time-out.
        """
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            nodes = self.connected().nodes_manager
            nodes.initialize()
            for name in self._connections.keys() - nodes.nodes_cache.keys():
                self._connections.pop(name).close()
        except (RedisError, RedisClusterException):
            pass  # read again at the next use
        finally:
            self._refreshing.release()

    def refresh_in_background(self) -> None:
        """Read the slots again in another thread: the caller has no time left for it."""
        if self._client and not self._refreshing.locked():
            with suppress(ConnectionError):  # no thread can be started now
                self._helper = _start_thread(self.reset_connections)[0]

    def close(self) -> None:
        if self._helper:
            self._helper.join()
        for connection in self._connections.values():
            connection.close()
        if self._client:
            self._client.close()

    def _connect(self) -> RedisCluster:
        """Connect in a thread that all callers wait for, at most two seconds: a node that hangs costs a whole
        time-out, and a name that doesn't resolve even more."""
        with self._connecting:
            if self._attempt is None or (self._attempt.done() and self._attempt.exception()):
                self._helper, self._attempt = _start_thread(self._create_client)
            attempt = self._attempt
        wait([attempt], _CONNECT_SECONDS)
        if not attempt.done():
            raise TimeoutError("no node of the cluster has answered in time")
        if error := attempt.exception():
            # RedisClusterException is no RedisError: callers expect what a single server raises.
            raise ConnectionError(str(error)) from error
        return attempt.result()

    def _create_client(self) -> RedisCluster:
        nodes = [ClusterNode(*host) for host in self._hosts]  # type: ignore[no-untyped-call]
        self._client = RedisCluster(startup_nodes=nodes, **self._settings)
        return self._client

    def _call(self, key_name: str, *command: Any) -> Any:
        try:
            return self.connection_to(key_name)[1].call(*command)
        except _KEY_MOVED:
            return self.connected().execute_command(*command)  # type: ignore[no-untyped-call]
        except _NODE_LOST:
            self.refresh_in_background()
            raise

    def _send_read(self, names: Sequence[str]) -> _ClusterRead:
        try:
            return _ClusterRead(self, names)
        except _NODE_LOST:
            self.refresh_in_background()
            raise


def _start_thread(function: Callable[[], Item]) -> tuple[threading.Thread, Future[Item]]:
    """Run a function in a new thread. Raises ConnectionError when none can be started."""
    future: Future[Item] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - raised by the future's result
            future.set_exception(error)

    thread = threading.Thread(target=run, name="redis-cluster", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
    return thread, future


class _ClusterRead:
    """One GET for each name, in one exchange with each node: MGET takes only keys of one slot."""

    def __init__(self, cluster: Cluster, names: Sequence[str]) -> None:
        self._cluster, self._names = cluster, names
        self._places: dict[str, list[int]] = {}
        connections: dict[str, MultiplexedConnection] = {}
        for place, name in enumerate(names):
            node, connections[node] = cluster.connection_to(name)
            self._places.setdefault(node, []).append(place)
        self.exchanges: Sequence[Exchange] = [
            connections[node].send([("GET", names[place]) for place in places])
            for node, places in self._places.items()
        ]

    def values(self) -> Values:
        found: Values = [None] * len(self._names)
        errors: list[Exception] = []
        try:
            for places, exchange in zip(self._places.values(), self.exchanges, strict=True):
                replies = exchange.wait()
                errors += [reply for reply in replies if isinstance(reply, Exception)]
                for place, reply in zip(places, replies, strict=True):
                    found[place] = reply
        except _NODE_LOST:
            self._cluster.refresh_in_background()
            raise
        if any(isinstance(error, _KEY_MOVED) for error in errors):
            return self._cluster.get_one_by_one(self._names)
        if errors:
            raise errors[0]
        return found


def primaries(redis: Redis) -> list[Redis]:
    """Return a client for each server that holds data."""
    if not isinstance(redis, Cluster):
        return [redis]
    nodes = redis.connected().get_primaries()  # type: ignore[no-untyped-call]
    return [cast(Redis, node.redis_connection) for node in nodes]


def holder(redis: Redis, name: str) -> Redis:
    """Return a client for the server that holds a key. Its pipelines may run scripts, which a cluster's
    pipelines may not; they fail when the key has moved."""
    if not isinstance(redis, Cluster):
        return redis
    node = redis.connected().get_node_from_key(name)  # type: ignore[no-untyped-call]
    return cast(Redis, node.redis_connection)


def by_server(redis: Redis, items: Iterable[Item], key_of: Callable[[Item], str]) -> dict[Redis, list[Item]]:
    """Group items by the server that holds their keys."""
    if not isinstance(redis, Cluster):
        return {redis: list(items)}
    found: dict[Redis, list[Item]] = {}
    for item in items:
        found.setdefault(holder(redis, key_of(item)), []).append(item)
    return found


def reset_connections(redis: Redis) -> None:
    """Drop connections to a server that is no longer the master; those in use are closed after use."""
    cast(Client, redis).reset_connections()


# Less than a connection's time-out.
_REPLICATION_MS = 400


def run_replicated(
    redis: Redis, script: Callable[..., Any], keys: Sequence[str], args: Sequence[Any], replicas: int
) -> Any:
    """Run a script and wait until so many replicas have its writes (RESOLVER_REDIS_WAIT).

    Raises StoreUnavailable when fewer have them in time, though the primary has executed the script.
    """
    if not replicas:
        return script(keys=keys, args=args)
    # One pipeline for both, because WAIT counts the writes of its own connection.
    pipeline = holder(redis, keys[0]).pipeline(transaction=False)
    script(keys=keys, args=args, client=pipeline)
    pipeline.wait(replicas, _REPLICATION_MS)
    written, reached = pipeline.execute()
    if reached < replicas:
        raise StoreUnavailable(f"redis: {reached} of {replicas} replicas have it")
    return written


_SCRIPT = (
    "return (redis.call('GET', KEYS[1]) or '') == ARGV[1] and redis.call('SET', KEYS[1], ARGV[2]) and 1 or 0"
)


def compare_and_set(
    redis: Redis, name: str, before: str | bytes, after: str | bytes, *, replicas: int = 0
) -> bool:
    """Replace a string if its value is still `before` (empty: there is none). False when it isn't."""
    return bool(run_replicated(redis, redis.register_script(_SCRIPT), [name], [before, after], replicas))
