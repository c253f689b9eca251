"""What a stored notification takes of Redis's memory, everything included."""

from __future__ import annotations

import orjson
from redis import Redis

from bench import people, sides
from bench.filling import fill_redis
from bench.stage import Stage

MEMORY = "memory"
_STORED = 50_000


def run(stage: Stage) -> None:
    if not stage.wanted(MEMORY):
        return
    room = stage.room(MEMORY)
    with sides.redis(room / "redis") as server, Redis.from_url(server.url) as redis:
        before = _used(redis)
        fill_redis(sides.variables(room, server), _STORED)
        each = (_used(redis) - before) / _STORED
    sizes = [len(orjson.dumps(people.addition(people.notification_id(n), n))) for n in range(_STORED)]
    stage.figures[MEMORY] = {"stored": _STORED, "bytes_each": each, "json_bytes": sum(sizes) / _STORED}


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])
