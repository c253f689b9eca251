"""A Redis Cluster that looks like one client, and what differs about it in the few places where it doesn't.

All keys of a partition share a slot, so a script or a MULTI never spans nodes. What does: reading many
records, looking at every key, and what is asked of each server rather than of the data.
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
from resolver.store.multiplexed import Client, MultiplexedConnection, PieceReader, Values, multiplexed
from resolver.store.shared_connection import Exchange

_CONNECT_SECONDS = 1.8
"""For the first look at the cluster. An outage shows within two seconds."""
Item = TypeVar("Item")
# Another node has the key (MOVED is an AskError), or is about to: nothing was executed.
_ELSEWHERE = (AskError, TryAgainError)
_GONE = (ConnectionError, TimeoutError, ClusterDownError, RedisClusterException)
"""The node is, or serves no slot: a look at the cluster may find another one."""


class Cluster:
    """Connects at its first use: the library's own client does when it is made, and a Redis that is away
    must not stop a start. Strings are read and scripts run over one connection to each node."""

    def __init__(self, hosts: Sequence[Host], **settings: Any) -> None:
        self._hosts, self._settings = hosts, settings
        self._connecting, self._looking = threading.Lock(), threading.Lock()
        self._client: RedisCluster | None = None
        self._attempt: Future[RedisCluster] | None = None
        """The last one to connect."""
        self._helper: threading.Thread | None = None
        self._connections: dict[str, MultiplexedConnection] = {}
        """By the name of the node."""
        self._reader = PieceReader(self._send_read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connected(), name)

    def connected(self) -> RedisCluster:
        return self._client or self._connect()

    def register_script(self, text: str) -> Script:
        return Script(cast(Redis, self), text.encode())

    def get(self, name: str) -> Any:
        return self._ask(name, "GET", name)

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        return self._ask(keys_and_args[0], "EVALSHA", sha, numkeys, *keys_and_args)

    def get_many(self, names: Sequence[str]) -> Values:
        return self._send_read(names).values()

    def get_in_pieces(self, names: Sequence[str]) -> Generator[Values, None, None]:
        return self._reader.pieces(names)

    def get_one_by_one(self, names: Sequence[str]) -> Values:
        """Wherever the keys are by now."""
        pipeline = self.connected().pipeline(transaction=False)  # type: ignore[no-untyped-call]
        for name in names:
            pipeline.get(name)
        return cast(Values, pipeline.execute())

    def connection_to(self, key_name: str) -> tuple[str, MultiplexedConnection]:
        """The node that holds a key, and the connection to it."""
        node = self.connected().get_node_from_key(key_name)  # type: ignore[no-untyped-call]
        connection = self._connections.get(node.name)
        if connection is None:
            own = multiplexed(node.redis_connection.connection_pool)
            connection = self._connections.setdefault(node.name, own)
        return node.name, connection

    def let_go_of_connections(self) -> None:
        """Look again which node serves what, and forget those that are gone. One thread looks at a time, and
        no other waits for it: with each node that hangs, it takes as long as an answer may."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            nodes = self.connected().nodes_manager
            nodes.initialize()
            for name in self._connections.keys() - nodes.nodes_cache.keys():
                self._connections.pop(name).close()
        except (RedisError, RedisClusterException):
            pass  # looked for again at the next use
        finally:
            self._looking.release()

    def look_again(self) -> None:
        """Have another thread look which node serves what: the caller has waited long enough."""
        if self._client and not self._looking.locked():
            with suppress(ConnectionError):  # no thread can be started now
                self._helper = _begun(self.let_go_of_connections)[0]

    def close(self) -> None:
        if self._helper:
            self._helper.join()
        for connection in self._connections.values():
            connection.close()
        if self._client:
            self._client.close()

    def _connect(self) -> RedisCluster:
        """Connect in another thread, which all that need the cluster wait for: with each node that hangs, it
        takes as long as an answer may, and with a name that doesn't resolve even longer."""
        with self._connecting:
            if self._attempt is None or (self._attempt.done() and self._attempt.exception()):
                self._helper, self._attempt = _begun(self._made)
            attempt = self._attempt
        wait([attempt], _CONNECT_SECONDS)
        if not attempt.done():
            raise TimeoutError("no node of the cluster has answered in time")
        if error := attempt.exception():
            # No relative of what a single server raises when it is away; the same thing to us.
            raise ConnectionError(str(error)) from error
        return attempt.result()

    def _made(self) -> RedisCluster:
        nodes = [ClusterNode(*host) for host in self._hosts]  # type: ignore[no-untyped-call]
        self._client = RedisCluster(startup_nodes=nodes, **self._settings)
        return self._client

    def _ask(self, key_name: str, *command: Any) -> Any:
        try:
            return self.connection_to(key_name)[1].ask(*command)
        except _ELSEWHERE:
            return self.connected().execute_command(*command)  # type: ignore[no-untyped-call]
        except _GONE:
            self.look_again()
            raise

    def _send_read(self, names: Sequence[str]) -> _ClusterRead:
        try:
            return _ClusterRead(self, names)
        except _GONE:
            self.look_again()
            raise


def _begun(function: Callable[[], Item]) -> tuple[threading.Thread, Future[Item]]:
    """Run a function in a thread of its own. Raises ConnectionError when none can be started."""
    future: Future[Item] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    thread = threading.Thread(target=run, name="redis-cluster", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error
    return thread, future


class _ClusterRead:
    """One GET for each name, in one exchange with each node: an MGET takes keys of one slot alone."""

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
        except _GONE:
            self._cluster.look_again()
            raise
        if any(isinstance(error, _ELSEWHERE) for error in errors):
            return self._cluster.get_one_by_one(self._names)
        if errors:
            raise errors[0]
        return found


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
    """They lead to what is no master any more. Those that are in use are closed after it."""
    cast(Client, redis).let_go_of_connections()
