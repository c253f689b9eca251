"""What a failover costs with `RESOLVER_REDIS_WAIT` and without: adds that were acknowledged and are gone, and
how long until adds are taken again.

A cluster of three masters with two replicas each, real servers on loopback, a real `resolver serve`. Eight
clients add all the while; one master is killed outright. `cut off`: its replicas get nothing for the last
half a second before, as when the network between them fails first.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.table import Table

from resolver.sandbox import create_app, start
from tests.support import API_KEY, VELT_TOKEN, environment
from tests.system.conftest import serving
from tests.system.load import Adding, add, read
from tests.topologies import LocalCluster
from tests.waiting import until

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
CLIENTS = 8
BEFORE_SECONDS = 3.0
CUT_OFF_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    acknowledged: int
    lost: int
    away_seconds: float
    add_ms: float


def main() -> None:
    table = Table(
        "RESOLVER_REDIS_WAIT", "replicas", "acknowledged", "lost", "adds again after", "an add takes"
    )
    for wait in ("0", "1"):
        for cut_off in (False, True):
            outcomes = [once(wait, cut_off) for _ in range(ROUNDS)]
            table.add_row(
                wait,
                "cut off" if cut_off else "in step",
                str(sum(outcome.acknowledged for outcome in outcomes)),
                str(sum(outcome.lost for outcome in outcomes)),
                " ".join(f"{outcome.away_seconds:.1f} s" for outcome in outcomes),
                f"{statistics.median(outcome.add_ms for outcome in outcomes):.1f} ms",
            )
    Console().print(table)


def once(wait: str, cut_off: bool) -> Outcome:
    with tempfile.TemporaryDirectory() as data, start(create_app(API_KEY, VELT_TOKEN)) as velt:
        servers = LocalCluster(Path(data) / "redis", replicas=2)
        variables = environment(
            REDIS_URL=servers.url,
            VELT_API_URL=velt.url,
            RESOLVER_REDIS_WAIT=wait,
            RESOLVER_DURABILITY="none",
            RESOLVER_LOG_LEVEL="error",
            RESOLVER_REGISTRATION="deferred",
        )
        try:
            with serving(variables, Path(data) / "log") as served:
                with Adding(served.url, clients=CLIENTS) as adding:
                    time.sleep(BEFORE_SECONDS)
                    add_ms = 1000 * CLIENTS * BEFORE_SECONDS / max(1, len(adding.acknowledged))
                    with ExitStack() as stack:
                        if cut_off:
                            stack.enter_context(without_replicas(servers, servers.ports[0]))
                        time.sleep(CUT_OFF_SECONDS)
                        servers.kill(servers.ports[0])
                    away = until(
                        lambda: all(add(served.url, f"x-{n}")[0] == 200 for n in range(60)), seconds=30
                    )
                held = read(served.url, adding.acknowledged)
        finally:
            servers.stop()
    return Outcome(len(adding.acknowledged), len(set(adding.acknowledged) - held), away, add_ms)


@contextmanager
def without_replicas(servers: LocalCluster, port: int) -> Iterator[None]:
    """Stopping them isn't enough: what was sent waits in their sockets, and they would read it afterwards."""
    with Redis(port=port, protocol=2) as master:
        replication = master.info("replication")
        replicas = [entry for name, entry in replication.items() if re.fullmatch(r"slave\d+", name)]
        pids = [servers.processes[int(replica["port"])].pid for replica in replicas]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        master.client_kill_filter(_type="replica")
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
