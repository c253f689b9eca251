"""Many notifications at once: sealed as the vault seals, and pipelined; or copied into velt-py's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from redis import Redis

from bench.people import ORGANIZATION, content, notification_id, record
from resolver.cli.terminal import progress_bar
from resolver.config import load
from resolver.store.record import Record
from resolver.wiring import build_stores

_BATCH = 1000
_DAY_MS = 86_400_000


def fill_redis(
    environment: Mapping[str, str], number: int, make: Callable[[int, int], Record] = record
) -> None:
    """What a put writes, without its round trips."""
    settings = load(environment)
    stores = build_stores(settings)
    stores.store.ping()  # so that the keys are known to be this store's
    lives = settings.retention_days * _DAY_MS or None
    now = int(time.time() * 1000)
    with progress_bar() as progress:
        task = progress.add_task("Filling Redis", total=number)
        for start in range(0, number, _BATCH):
            pipeline = stores.redis.pipeline(transaction=False)
            for n in range(start, min(start + _BATCH, number)):
                made = make(n, now)
                name = stores.keyspace.record(made.organization, made.notification)
                pipeline.set(name, stores.envelope.seal(name, made.to_bytes()), px=lives)
            pipeline.execute()
            progress.advance(task, _BATCH)
    _wait_for_rewrite(stores.redis)
    stores.redis.close()


def _wait_for_rewrite(redis: Redis) -> None:
    """The file of so many writes is made shorter in the background, which would be measured too."""
    fields = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
    while any(redis.info("persistence")[field] for field in fields):
        time.sleep(0.1)


def fill_postgres(dsn: str, number: int) -> None:
    """The rows that velt-py's save leaves, in the table it has made."""
    import psycopg  # noqa: PLC0415 - an extra

    with psycopg.connect(dsn, autocommit=True) as connection, progress_bar() as progress:
        task = progress.add_task("Filling PostgreSQL", total=number)
        with connection.cursor() as cursor, cursor.copy("COPY notifications (data) FROM STDIN") as copy:
            for n in range(number):
                copy.write_row((orjson.dumps(_row(n)).decode(),))
                if n % _BATCH == 0:
                    progress.update(task, completed=n)
        connection.execute("VACUUM ANALYZE notifications")
        connection.execute("CHECKPOINT")


def _row(n: int) -> dict[str, Any]:
    return {"notificationId": notification_id(n), "organizationId": ORGANIZATION, **content(n)}
