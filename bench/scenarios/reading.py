"""get of 1, 20, 300 and 1,000 ids, and an update, by everybody in turn; `--large`: also among a million."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from redis import Redis

from bench import people, redis_alone, same, sides, wrk
from bench.filling import fill_postgres, fill_redis
from bench.rounds import Run
from bench.sides import EMPTY, OURS, REDIS_ALONE, Side
from bench.stage import Stage
from resolver.cli.local_redis import LocalRedis

SIZES = (1, 20, 300, 1000)
FEW, MANY = 10_000, 1_000_000
UPDATE = "update"
_LOOKS = 21


def name_of(size: int) -> str:
    return f"get {size}"


def among_many(side: str) -> str:
    return f"{side}, 10⁶ stored"


def run(stage: Stage) -> None:
    sizes = [size for size in SIZES if stage.wanted(name_of(size))]
    if not sizes and not stage.wanted(UPDATE):
        return
    with ExitStack() as stack:
        room = stage.room("reading")
        server = stack.enter_context(sides.redis(room / "redis"))
        fill_redis(sides.variables(room, server), FEW)
        found = stack.enter_context(sides.empty(room / "empty"))
        found[OURS] = stack.enter_context(sides.resolver(room / "resolver", server))
        if postgres := stack.enter_context(stage.postgres()):
            found |= stack.enter_context(sides.velt_py(room / "velt-py", postgres))
            fill_postgres(postgres.dsn, FEW)
        many = _many(stage, stack) if stage.large and sizes else None
        for size in sizes:
            _compare(stage, size, found, server, many)
        if stage.wanted(UPDATE):
            _compare_updates(stage, found)


def _many(stage: Stage, stack: ExitStack) -> Side:
    room = stage.room("reading many")
    server = stack.enter_context(sides.redis(room / "redis"))
    fill_redis(sides.variables(room, server), MANY)
    return stack.enter_context(sides.resolver(room / "resolver", server))


def _compare(stage: Stage, size: int, found: dict[str, Side], server: LocalRedis, many: Side | None) -> None:
    name = name_of(size)
    requests = wrk.write(stage.room("reading") / f"{size}.requests", people.reads(size, FEW))
    holding = {
        side_name: side.url for side_name, side in found.items() if side_name not in sides.peers(EMPTY)
    }
    asked = people.read_of([people.READERS * n for n in range(size)])
    same.require_same_content(holding, asked)
    runs: dict[str, Run] = {side_name: side.under(requests) for side_name, side in found.items()}
    if many:
        same.require_same_content({OURS: found[OURS].url, among_many(OURS): many.url}, asked)
        far = wrk.write(stage.room("reading") / f"{size}-many.requests", people.reads(size, MANY))
        runs[among_many(OURS)] = many.under(far)
    if redis_alone.is_installed():
        runs[REDIS_ALONE] = redis_alone.reading(server, size)
    else:
        stage.left_out[REDIS_ALONE] = "redis-benchmark is not installed (Debian: redis-tools)"
    stage.figures[f"round trips, {name}"] = {
        "commands": _commands(server, lambda: same.answer(found[OURS].url, asked))
    }
    stage.compare(name, runs)


def _commands(server: LocalRedis, read: Callable[[], Any]) -> dict[str, float]:
    """Which commands a read sends to Redis. The median of many: now and then more is due."""
    sent = []
    with Redis.from_url(server.url) as redis:
        for _ in range(_LOOKS):
            before = Counter(_calls(redis))
            read()
            sent.append(Counter(_calls(redis)) - before)
    names = {name for one in sent for name in one} - {"info"}
    usual = {name: statistics.median(one[name] for one in sent) for name in sorted(names)}
    return {name: number for name, number in usual.items() if number}


def _calls(redis: Redis) -> dict[str, int]:
    entries = redis.info("commandstats").items()
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in entries}


def _compare_updates(stage: Stage, found: dict[str, Side]) -> None:
    storing = [(name, side) for name, side in found.items() if side.store]
    for _, side in storing:
        same.answer(side.url, people.update_of(7))
    same.require_same_content({name: side.url for name, side in storing}, people.read_of([7]))
    requests = wrk.write(stage.room("reading") / "update.requests", people.updates(FEW))
    stage.compare(UPDATE, {name: side.under(requests) for name, side in storing})
