"""The floor: the same keys read from the same Redis by redis-benchmark, and nothing else."""

from __future__ import annotations

import csv
import shutil
import subprocess

from bench import people
from bench.rounds import Run, Sample, measured
from bench.wrk import CONNECTIONS, Load
from resolver.cli.local_redis import LocalRedis
from resolver.config import load
from resolver.store.keyspace import Keyspace
from tests.support import environment

_IDS = 2_000_000


def is_installed() -> bool:
    return shutil.which("redis-benchmark") is not None


def reading(server: LocalRedis, size: int) -> Run:
    keyspace = Keyspace(load(environment()).index_key)
    ids = [people.notification_id(n * people.READERS) for n in range(size)]
    names = [keyspace.record(people.ORGANIZATION, id_) for id_ in ids]
    requests = _IDS // (size + 20)
    command = [
        *("redis-benchmark", "-s", str(server.socket), "-c", str(CONNECTIONS)),
        *("-n", str(requests), "--csv", "MGET", *names),
    ]

    def work() -> Load:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        *_, row = csv.DictReader(said.splitlines())
        seconds = requests / float(row["rps"])
        return Load(requests, seconds, float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))

    def run(_seconds: float) -> Sample:
        return measured((), (server.pid,), work)

    return run
