"""What wakes a sleeping worker, on servers that fail for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from resolver.config.secret import Secret
from resolver.outbox.wake import WakeUp
from resolver.store.connect import connect
from resolver.store.keyspace import WAKE_CHANNEL
from tests.topologies import LocalCluster, RedisServer, close
from tests.waiting import until

SLEEP_SECONDS = 1.0


@contextmanager
def listening(server: RedisServer) -> Iterator[WakeUp]:
    client = connect(Secret(server.url.encode()), 4)
    wake_up = WakeUp(client)
    with wake_up.listening():
        yield wake_up
    close(client)


def is_woken(wake_up: WakeUp, publisher: Redis) -> bool:
    """Whether a message ends the sleep, rather than its time."""
    publisher.publish(WAKE_CHANNEL, b"")
    began = time.monotonic()
    wake_up.wait(SLEEP_SECONDS)
    return time.monotonic() - began < SLEEP_SECONDS / 2


@pytest.mark.single_server
def test_worker_is_woken_again_after_no_node_served_the_slot_of_the_channel(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path / "redis")
    try:
        with ExitStack() as stack, Redis(port=cluster.ports[0]) as publisher:
            with without_a_slot(cluster, command(publisher, "CLUSTER", "KEYSLOT", WAKE_CHANNEL)):
                wake_up = stack.enter_context(listening(cluster))
                assert not is_woken(wake_up, publisher)
            until(lambda: is_woken(wake_up, publisher), "a worker that is woken", seconds=15)
    finally:
        cluster.stop()


@contextmanager
def without_a_slot(cluster: LocalCluster, slot: int) -> Iterator[None]:
    """A cluster in which no node serves the slot for a while."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(Redis(port=port)) for port in cluster.ports]
        (owner,) = [node for node in nodes if owns(node, slot)]
        for node in nodes:
            command(node, "CLUSTER", "DELSLOTS", slot)
        yield
        command(owner, "CLUSTER", "ADDSLOTS", slot)


def owns(node: Redis, slot: int) -> bool:
    own_id, ranges = command(node, "CLUSTER", "MYID"), command(node, "CLUSTER", "SLOTS")
    return any(first <= slot <= last and primary[2] == own_id for first, last, primary, *_ in ranges)


def command(node: Redis, *words: str | int) -> Any:
    return node.execute_command(*words)  # type: ignore[no-untyped-call]


def test_worker_is_woken_again_after_its_connection_ended(redis: Redis, redis_server: RedisServer) -> None:
    with listening(redis_server) as wake_up:
        until(lambda: is_woken(wake_up, redis), "a worker that is woken")
        redis.client_kill_filter(_type="pubsub")
        until(lambda: is_woken(wake_up, redis), "a worker that is woken again")
