"""A Redis database as a JSON file, readable in a diff and by any version of Redis."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from redis import Redis

from resolver.store.keyspace import WORKER_KEY
from tests.support import keys_of

JSON = dict[str, Any]


def save(redis: Redis, file: Path) -> None:
    """Write all keys and values but a worker's heartbeat. Times to live are left out, since a corpus is older
    than any retention."""
    names = [name for name in keys_of(redis, "*") if name != WORKER_KEY.encode()]
    found = {name.decode(): _value(redis, name) for name in names}
    file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="ascii")


def load(redis: Redis, file: Path) -> None:
    """Replace the database by the one in a file."""
    redis.flushall()
    for name, value in json.loads(file.read_text(encoding="ascii")).items():
        match value:
            case {"string": text}:
                redis.set(name, b64decode(text))
            case {"hash": fields}:
                redis.hset(name, mapping={key: b64decode(text) for key, text in fields.items()})
            case {"set": members}:
                redis.sadd(name, *members)
            case {"sorted set": scores}:
                redis.zadd(name, scores)


def _value(redis: Redis, name: bytes) -> JSON:
    client: Any = redis
    match client.type(name):
        case b"string":
            return {"string": _text(client.get(name))}
        case b"hash":
            return {"hash": {key.decode(): _text(value) for key, value in client.hgetall(name).items()}}
        case b"set":
            return {"set": sorted(member.decode() for member in client.smembers(name))}
        case b"zset":
            found = client.zrange(name, 0, -1, withscores=True)
            return {"sorted set": {member.decode(): score for member, score in found}}
        case kind:
            raise ValueError(f"{name!r} is a {kind!r}")


def _text(value: bytes) -> str:
    return b64encode(value).decode()
