"""A cluster whose nodes move keys, hang and fail, for a client with one connection to each node."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis import TimeoutError as RedisTimeoutError
from redis.crc import key_slot

from resolver.config.secret import Secret
from resolver.store.cluster import Cluster
from resolver.store.connect import connect
from resolver.store.multiplexed import get_all
from tests.store.calls import at_once, errors, results
from tests.system.processes import suspended
from tests.topologies import LocalCluster
from tests.waiting import until

pytestmark = pytest.mark.single_server

THREADS = 12
NAMES = [f"{{p{number:02d}}}x" for number in range(64)]
SET = "return redis.call('SET', KEYS[1], ARGV[1]) and ARGV[1]"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    found = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.stop()


@pytest.fixture
def client(servers: LocalCluster) -> Redis:
    found = connect(Secret.of(servers.url), 4)
    for name in NAMES:
        found.set(name, name)
    return found


@contextmanager
def nodes_of(servers: LocalCluster, name: str) -> Iterator[tuple[Redis, Redis, list[Redis]]]:
    """Return the node that has this key, another node, and all nodes."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(Redis(port=port)) for port in servers.ports]
        have = [node for node in nodes if command(node, "CLUSTER", "GETKEYSINSLOT", slot_of(name), 1)]
        yield have[0], next(node for node in nodes if node is not have[0]), nodes


def command(node: Redis, *words: str | int) -> Any:
    return node.execute_command(*words)  # type: ignore[no-untyped-call]


def slot_of(name: str) -> int:
    return key_slot(name.encode())


def set_slot(node: Redis, slot: int, *words: str) -> None:
    command(node, "CLUSTER", "SETSLOT", slot, *words)


def id_of(node: Redis) -> str:
    return str(command(node, "CLUSTER", "MYID").decode())


def port_of(node: Redis) -> int:
    return int(node.get_connection_kwargs()["port"])


def test_threads_read_and_write_on_every_node(client: Redis) -> None:
    script = client.register_script(SET)

    def use(number: int) -> None:
        for name in NAMES:
            assert script(keys=[f"{name}{number}"], args=[name]) == name.encode()
        assert get_all(client, [f"{name}{number}" for name in NAMES]) == [name.encode() for name in NAMES]

    results(at_once(THREADS, use))


def test_reads_and_scripts_follow_a_key_that_moves_to_another_node(
    servers: LocalCluster, client: Redis
) -> None:
    name, script = NAMES[7], client.register_script(SET)
    expected = [each.encode() for each in NAMES]

    def follows() -> bool:
        script(keys=[name], args=[name])
        return get_all(client, NAMES) == expected and client.get(name) == name.encode()

    assert follows()
    with nodes_of(servers, name) as (source, target, nodes):
        slot, source_id, target_id = slot_of(name), id_of(source), id_of(target)
        set_slot(target, slot, "IMPORTING", source_id)
        set_slot(source, slot, "MIGRATING", target_id)
        held = command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100)
        source.migrate("127.0.0.1", port_of(target), held, 0, 1000)
        assert follows(), "the source says ASK"
        for node in nodes:
            set_slot(node, slot, "NODE", target_id)
        assert follows(), "the source says MOVED"


def test_node_that_hangs_fails_commands_for_its_own_keys_in_time(
    servers: LocalCluster, client: Redis
) -> None:
    assert all(get_all(client, NAMES))
    with nodes_of(servers, NAMES[0]) as (hanging, _, _nodes):
        own = {name for name in NAMES if command(hanging, "CLUSTER", "COUNTKEYSINSLOT", slot_of(name))}
        others = [name for name in NAMES if name not in own]
        pid = servers.processes[port_of(hanging)].pid
        with suspended(pid):
            started = time.monotonic()
            failed = at_once(THREADS, lambda _: get_all(client, NAMES))
            assert time.monotonic() - started < 1
            assert errors(failed) == [RedisTimeoutError] * THREADS
            assert all(get_all(client, others))
        until(lambda: all(get_all(client, NAMES)), "it is back")


def seconds_until_it_fails(client: Redis) -> float:
    started = time.monotonic()
    with pytest.raises((RedisTimeoutError, RedisConnectionError)):
        get_all(client, NAMES)
    return time.monotonic() - started


@pytest.mark.parametrize("used", [True, False])
def test_cluster_that_hangs_fails_every_command_in_time(servers: LocalCluster, *, used: bool) -> None:
    client = connect(Secret.of(servers.url), 4)
    if used:
        get_all(client, NAMES)
    pids = [process.pid for process in servers.processes.values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        failed = at_once(THREADS, lambda _: seconds_until_it_fails(client))
        assert max(results(failed)) < 2
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    until(lambda: len(get_all(client, NAMES)) == len(NAMES), "it is back")


def test_connection_to_a_node_that_is_gone_is_closed(servers: LocalCluster, client: Redis) -> None:
    """The last test: one node of the module's cluster is left without slots."""
    assert all(get_all(client, NAMES))
    assert len(readers()) == 3
    with nodes_of(servers, NAMES[0]) as (leaving, heir, nodes):
        leaving_id, heir_id = id_of(leaving), id_of(heir)
        own = [slot for slot, port in slots_of(client).items() if port == port_of(leaving)]
        leaving.flushall()
        for node in (heir, *(node for node in nodes if node not in (heir, leaving))):
            pipeline = node.pipeline(transaction=False)
            for slot in own:
                pipeline.execute_command("CLUSTER", "SETSLOT", slot, "NODE", heir_id)  # type: ignore[no-untyped-call]
            pipeline.execute()
            command(node, "CLUSTER", "FORGET", leaving_id)

    def is_forgotten() -> bool:
        cast(Cluster, client).reset_connections()  # asks any node: the one that is gone may not know yet
        return len(readers()) == 2

    until(is_forgotten, "of three connections, two are left")
    assert len(get_all(client, NAMES)) == len(NAMES)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "redis-reader"]


def slots_of(client: Redis) -> dict[int, int]:
    """The port of the node that has each slot."""
    known = cast(Cluster, client).connected().nodes_manager.slots_cache
    return {slot: nodes[0].port for slot, nodes in known.items()}
