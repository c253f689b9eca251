"""How many registrations a second one worker gets done, when Velt answers at once."""

from __future__ import annotations

import statistics
import time

from bench import people, sides
from bench.processes import cpu_seconds
from bench.scenarios.adding import seen, working
from bench.stage import JSON, Stage
from resolver.cli.terminal import progress_bar
from resolver.config import load
from resolver.store.command import Command, Entry, Kind
from resolver.velt.field_allow_list import split_add
from resolver.wiring import build_stores

WORKER = "worker"
_COMMANDS = 5000
_LONGEST_SECONDS = 60


def run(stage: Stage) -> None:
    if not stage.wanted(WORKER):
        return
    with progress_bar() as progress:
        rounds = progress.track(range(stage.rounds), description=WORKER)
        found = [_once(stage, n) for n in rounds]
    stage.figures[WORKER] = {
        "per_second": statistics.median(one["per_second"] for one in found),
        "cpu_us": statistics.median(one["cpu_us"] for one in found),
        "rounds": found,
    }


def _once(stage: Stage, n: int) -> JSON:
    room = stage.room(f"worker {n}")
    with sides.redis(room / "redis") as server, sides.instant_velt(room) as velt:
        given = sides.variables(room, server) | {"VELT_API_URL": velt}
        _line_up(given)
        with working(given, room / "worker.log") as pid:
            until = time.monotonic() + _LONGEST_SECONDS
            while (told := seen(velt))["calls"] < _COMMANDS and time.monotonic() < until:
                time.sleep(0.2)
            cpu = cpu_seconds((pid, server.pid))
    if told["calls"] < _COMMANDS:
        raise RuntimeError(f"only {told['calls']} of {_COMMANDS} registrations in {_LONGEST_SECONDS} s")
    return {"per_second": (told["calls"] - 1) / told["seconds"], "cpu_us": cpu / told["calls"] * 1e6}


def _line_up(given: dict[str, str]) -> None:
    """As deferred adds leave it: the record, and its registration in line."""
    stores = build_stores(load(given))
    now = int(time.time() * 1000)
    for n in range(_COMMANDS):
        record = people.record(n, now)
        forwarded = split_add(people.addition(record.notification, n), "full").forward
        stores.store.put(record, Entry(Command(Kind.REGISTER, record.notification, forwarded)))
    stores.redis.close()
