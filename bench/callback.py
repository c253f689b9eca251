"""What one callback read costs in CPU, beside an empty Flask view in the same process.

Real Redis, sealed content, an HS256 token, the `recipient` policy. The two take turns, round by round, so
that a machine that slows down slows both; read the ratios. Redis's own CPU is in the third column.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from flask import Flask
from redis import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from resolver.app import create_app
from resolver.cli.keys import fresh_secrets
from resolver.cli.local_redis import LocalRedis
from resolver.record import Record
from resolver.services import Services
from resolver.settings import load

STORED, ROUNDS, REQUESTS = 2000, 7, 200
SIZES = (1, 20, 300, 1000)
CONTENT = orjson.dumps(
    {
        "actionUser": {"userId": "ana", "name": "Ana Lima", "email": "ana@example.com"},
        "displayHeadlineMessageTemplate": "{actionUser} asked you about {topic}",
        "displayHeadlineMessageTemplateData": {"topic": "the merger"},
        "displayBodyMessage": "Can we still sign on Friday? " * 10,
    }
)

Call = Callable[[], None]


def main() -> None:
    with tempfile.TemporaryDirectory() as data:
        server = LocalRedis(Path(data))
        try:
            _measure(server)
        finally:
            server.stop()


def _measure(server: LocalRedis) -> None:
    app = _resolver(server)
    empty, redis = _caller(_empty_app(), "/", {}, b"{}"), Redis.from_url(server.url)
    table = Table("ids a read", "µs of CPU", "of them µs in Redis", "times an empty view")
    for size in track(SIZES, description="Measuring", console=Console(stderr=True)):
        read = _reader(app, size)
        rounds = [(_cpu(empty, redis), _cpu(read, redis)) for _ in range(ROUNDS)]
        own = statistics.median(ours[0] + ours[1] for _, ours in rounds)
        store = statistics.median(ours[1] for _, ours in rounds)
        ratio = statistics.median(sum(ours) / theirs[0] for theirs, ours in rounds)
        table.add_row(str(size), f"{own:.0f}", f"{store:.0f}", f"{ratio:.2f}")
    Console().print(table)


def _resolver(server: LocalRedis) -> Flask:
    secrets = {**fresh_secrets(), "VELT_API_KEY": "key", "VELT_AUTH_TOKEN": "token", "REDIS_URL": server.url}
    app = create_app(load({**secrets, "RESOLVER_LOG_LEVEL": "error"}))
    vault = _services(app).vault
    for n in range(STORED):
        vault.put(Record("acme", f"n-{n}", "doc", "ana", ("ben",), everyone=False, content=CONTENT))
    return app


def _reader(app: Flask, size: int) -> Call:
    token = _services(app).tokens.mint("ben", ["acme"], 3600).token
    body = orjson.dumps({"organizationId": "acme", "notificationIds": [f"n-{n}" for n in range(size)]})
    return _caller(app, "/api/velt/notifications/get", {"authorization": f"Bearer {token}"}, body)


def _empty_app() -> Flask:
    app = Flask("empty")
    app.add_url_rule("/", view_func=lambda: "{}", methods=["POST"])
    return app


def _caller(app: Flask, path: str, headers: dict[str, str], body: bytes) -> Call:
    client = app.test_client()
    headers = {"content-type": "application/json", **headers}

    def call() -> None:
        reply = client.post(path, data=body, headers=headers)
        assert reply.status_code == 200, reply.data

    return call


def _cpu(call: Call, redis: Redis) -> tuple[float, float]:
    """Microseconds a request: ours, and Redis's."""
    call()
    store, own = _redis_seconds(redis), time.process_time()
    for _ in range(REQUESTS):
        call()
    own, store = time.process_time() - own, _redis_seconds(redis) - store
    return own / REQUESTS * 1e6, store / REQUESTS * 1e6


def _redis_seconds(redis: Redis) -> float:
    usage = redis.info("cpu")
    return float(usage["used_cpu_user"]) + float(usage["used_cpu_sys"])


def _services(app: Flask) -> Services:
    found: Services = app.extensions["resolver"]
    return found


if __name__ == "__main__":
    main()
