"""Writes resume by themselves after Sentinel or Cluster has lost a master under load."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from resolver.config import load
from resolver.errors import StoreUnavailable
from resolver.wiring import build_stores
from tests.store.conftest import record
from tests.support import Velt, environment
from tests.system.conftest import Served, serving
from tests.system.load import Adding, add, read
from tests.topologies import LocalCluster, LocalSentinel
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.single_server]

RECOVERED_SECONDS = 15


def settings(url: str, velt: Velt, **changes: str) -> dict[str, str]:
    return environment(
        REDIS_URL=url,
        VELT_API_URL=velt.url,
        RESOLVER_DURABILITY="none",
        RESOLVER_LOG_LEVEL="error",
        **changes,
    )


def adds_work_everywhere(served: Served) -> bool:
    """Whether adds succeed in all partitions, and so on every master."""
    return all(add(served.url, f"after-{number}")[0] == 200 for number in range(60))


def lost(served: Served, acknowledged: list[str]) -> int:
    return len(set(acknowledged) - read(served.url, acknowledged))


def test_sentinel_fails_over_and_writes_resume(velt: Velt, tmp_path: Path) -> None:
    servers = LocalSentinel(tmp_path / "redis")
    try:
        with serving(settings(servers.url, velt), tmp_path / "log") as served:
            with Adding(served.url, clients=2) as adding:
                until(lambda: len(adding.acknowledged) > 50, seconds=20)
                servers.kill(servers.master)
                until(lambda: adds_work_everywhere(served), seconds=RECOVERED_SECONDS)
            assert set(adding.statuses) <= {200, 503}, "an outage is never another answer"
            assert adding.slowest < 3
            # Replication is asynchronous, so the failover may lose a few of the last writes.
            assert lost(served, adding.acknowledged) <= len(adding.acknowledged) / 10
    finally:
        servers.stop()


def test_a_cluster_loses_a_master_and_writes_resume(velt: Velt, tmp_path: Path) -> None:
    # Two replicas, so that the one that takes over still has one that confirms its writes.
    servers = LocalCluster(tmp_path / "redis", replicas=2)
    try:
        with serving(settings(servers.url, velt, RESOLVER_REDIS_WAIT="1"), tmp_path / "log") as served:
            with Adding(served.url, clients=2) as adding:
                until(lambda: len(adding.acknowledged) > 50, seconds=20)
                servers.kill(servers.ports[0])
                until(lambda: adding.statuses.count(503) > 0, seconds=5)
                until(lambda: adds_work_everywhere(served), seconds=RECOVERED_SECONDS)
            assert set(adding.statuses) <= {200, 503}
            assert lost(served, adding.acknowledged) == 0
    finally:
        servers.stop()


def test_add_without_a_confirming_replica_is_not_acknowledged(velt: Velt, tmp_path: Path) -> None:
    servers = LocalSentinel(tmp_path / "redis")
    try:
        store = build_stores(load(settings(servers.url, velt, RESOLVER_REDIS_WAIT="1"))).store
        store.put(record())
        servers.kill(servers.replica)
        with pytest.raises(StoreUnavailable):
            store.put(record("n-2"))
    finally:
        servers.stop()


def test_read_of_three_hundred_ids_takes_one_exchange_per_batch_with_each_node(
    velt: Velt, tmp_path: Path
) -> None:
    servers = LocalCluster(tmp_path / "redis")
    try:
        store = build_stores(load(settings(servers.url, velt))).store
        for number in range(300):
            store.put(record(f"n-{number}"))
        wanted = [f"n-{number}" for number in range(300)]
        assert len(store.read("acme", wanted)) == 300
        with ExitStack() as stack:
            nodes = [stack.enter_context(Redis(port=port)) for port in servers.ports]
            before = [reads(node) for node in nodes]
            assert len(store.read("acme", wanted)) == 300
            # Three batches of a hundred are sent one after the other. Besides them, the server reads the
            # command for this count and, once a second, the check of the database's identity.
            assert all(reads(node) - known <= 3 + 2 for node, known in zip(nodes, before, strict=True))
    finally:
        servers.stop()


def reads(node: Redis) -> int:
    """Return how often this server has read from a connection."""
    return int(node.info("stats")["total_reads_processed"])


def test_resolver_starts_while_the_cluster_is_down(velt: Velt) -> None:
    store = build_stores(load(settings("redis+cluster://127.0.0.1:1,127.0.0.1:2", velt))).store
    with pytest.raises(StoreUnavailable):
        store.read("acme", ["n-1"])


def test_the_fixture_is_a_real_cluster(tmp_path: Path) -> None:
    servers = LocalCluster(tmp_path)
    try:
        with Redis(port=servers.ports[0]) as client:
            assert client.info("cluster")["cluster_enabled"] == 1
    finally:
        servers.stop()
