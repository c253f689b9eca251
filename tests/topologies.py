"""Redis behind a Sentinel and as a cluster: real servers on loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis, find_server
from resolver.store.cluster import Cluster
from tests.system.conftest import free_ports
from tests.waiting import until

DEPLOY = Path(__file__).parent.parent / "deploy"
_NODE_TIMEOUT_MS = 1500
# Enabled, so that only the user's rights can refuse it.
_DEBUG = ("--enable-debug-command", "yes")
_AT_ONCE = ("--repl-diskless-sync-delay", "0")


class RedisServer(Protocol):
    url: str

    def client(self) -> Redis: ...

    def stop(self) -> None: ...


class Single(LocalRedis):
    def client(self) -> Redis:
        return Redis.from_url(self.url)


class _Servers:
    """Redis processes on free ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int, *options: str, mode: str = "") -> None:
        folder = self.data / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "redis.conf"
        config.touch()
        command = [find_server(), str(config), *("--port", str(port), "--bind", "127.0.0.1")]
        command += ["--dir", str(folder), "--logfile", str(folder / "log"), "--save", "", *options]
        self.processes[port] = start_child([*command, *([mode] if mode else [])])
        until(lambda: bool(Redis(port=port, socket_timeout=1).ping()), f"port {port}")

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            stop_child(process)


class LocalCluster(_Servers):
    """Three masters, each with this number of replicas."""

    def __init__(self, data: Path, replicas: int = 0) -> None:
        super().__init__(data)
        count = 3 * (1 + replicas)
        ports, buses = free_ports(2 * count)[:count], free_ports(3 * count)[-count:]
        for port, bus in zip(ports, buses, strict=True):
            cluster = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            timing = (
                "--cluster-node-timeout",
                str(_NODE_TIMEOUT_MS),
                "--cluster-require-full-coverage",
                "no",
            )
            self.start(port, *cluster, *timing, *_AT_ONCE, "--appendonly", "yes")
        self.ports = ports
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self._create(replicas)

    def _create(self, replicas: int) -> None:
        cli = shutil.which("redis-cli") or pytest.skip("needs redis-cli")
        hosts = [f"127.0.0.1:{port}" for port in self.ports]
        create = [cli, "--cluster", "create", *hosts, "--cluster-replicas", str(replicas), "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        for port in self.ports:
            until(partial(_is_whole, port), "a cluster")

    def client(self) -> Redis:
        return RedisCluster(host="127.0.0.1", port=self.ports[0])  # type: ignore[return-value]


def _is_whole(port: int) -> bool:
    with Redis(port=port) as client:
        state = client.execute_command("CLUSTER INFO")
    return bool(state["cluster_state"] == "ok" and state["cluster_slots_ok"] == "16384")


class LocalSentinel(_Servers):
    """A master with a replica, and three Sentinels that watch it."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.master, self.replica, *self.sentinels = free_ports(5)
        self.start(self.master, "--appendonly", "yes", *_AT_ONCE)
        self.start(self.replica, "--appendonly", "yes", "--replicaof", f"127.0.0.1 {self.master}")
        for port in self.sentinels:
            folder = data / str(port)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "redis.conf").write_text(
                f"sentinel monitor vault 127.0.0.1 {self.master} 2\n"
                f"sentinel down-after-milliseconds vault {_NODE_TIMEOUT_MS}\n"
                "sentinel failover-timeout vault 10000\n"
            )
            self.start(port, mode="--sentinel")
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/vault/0"
        until(self._watched, "three Sentinels that know each other and the replica")

    def _watched(self) -> bool:
        with Redis(port=self.sentinels[0]) as sentinel:
            (state,) = sentinel.sentinel_masters().values()
            known = state["num-other-sentinels"] == 2 and state["num-slaves"] == 1
        with Redis(port=self.master) as master:
            # A failover to a replica whose first copy isn't complete would lose more than the last writes.
            replica = master.info("replication").get("slave0", {})
        return bool(known and replica.get("state") == "online")

    def client(self) -> Redis:
        return Redis(port=self.master)


def close(client: Redis) -> None:
    """Close a client and all connections that it opened."""
    client.close()
    if isinstance(client, Cluster):
        return
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        sentinel.close()


class Restricted(_Servers):
    """One server, used as the restricted user of `deploy/redis/users.acl`."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        (self.port,) = free_ports(1)
        data.mkdir(parents=True, exist_ok=True)
        shipped = (DEPLOY / "redis" / "users.acl").read_text()
        # Another user empties the database between tests.
        users = shipped.replace("user default off", "user default on nopass")
        (data / "users.acl").write_text(users.replace("user resolver on", "user resolver on >test-password"))
        self.start(self.port, "--appendonly", "yes", "--aclfile", str(data / "users.acl"), *_DEBUG)
        self.url = f"redis://resolver:test-password@127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        return Redis(port=self.port)


TOPOLOGIES: dict[str, Callable[[Path], RedisServer]] = {
    "single": Single,
    "cluster": LocalCluster,
    "sentinel": LocalSentinel,
    "restricted": Restricted,
}
