"""How long it takes to erase one person out of many records, and what others notice of it meanwhile.

A real `resolver serve` with its worker, a real Redis, the Velt sandbox. One record in a hundred has
the person in it, or each does (`python -m bench.erasure 100000 1`): half of these go, the other half are cut.
Another client reads all the while.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import urllib3
from rich.console import Console
from rich.table import Table

from bench.filling import fill_redis
from resolver.cli.keys import fresh_secrets
from resolver.cli.local_redis import LocalRedis
from resolver.sandbox import create_app, start
from resolver.store.record import Record
from tests.system.conftest import Served, serving

READS_AT_REST = 300
ONE_IN = 100
"""Records that have the person in them."""
JSON = dict[str, Any]
PERSON = {"userId": "ben", "name": "Ben", "email": "ben@example.com"}
CONTENT = orjson.dumps(
    {"actionUser": {"userId": "ana", "name": "Ana"}, "displayBodyMessage": "Friday? " * 30}
)
SHARED = orjson.dumps(
    {**orjson.loads(CONTENT), "displayHeadlineMessageTemplateData": {"recipientUser": PERSON}}
)
TOKEN = "privacy-token-of-the-benchmark-0123456789"


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    found = erased(*(given or [100_000]))
    table = Table(*(name.replace("_", " ") for name in found))
    table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in found.values()))
    Console().print(table)


def erased(records: int, one_in: int = ONE_IN) -> JSON:
    with tempfile.TemporaryDirectory() as data, start(create_app("key", "token")) as velt:
        server = LocalRedis(Path(data))
        environment = {
            **fresh_secrets(),
            "VELT_API_KEY": "key",
            "VELT_AUTH_TOKEN": "token",
            "VELT_API_URL": velt.url,
            "REDIS_URL": server.url,
            "RESOLVER_LOG_LEVEL": "error",
            "RESOLVER_AUDIT_LOG": str(Path(data) / "audit.log"),
            "RESOLVER_PRIVACY_TOKENS": f"dpo:{TOKEN}",
            "RESOLVER_MODE": "development",
        }
        try:
            fill_redis(environment, records, partial(_record, one_in))
            with serving(environment, Path(data) / "log") as served:
                return _measured(served, environment, one_in)
        finally:
            server.stop()


def _record(one_in: int, n: int, _now: int) -> Record:
    if n % one_in:
        return Record("acme", f"n-{n}", "doc", "ana", ("cleo",), False, content=CONTENT)
    if n // one_in % 2 == 0:
        return Record("acme", f"n-{n}", "doc", "ana", ("ben",), False, content=CONTENT)
    return Record("acme", f"n-{n}", "doc", "ana", ("ben", "cleo"), False, content=SHARED)


def _measured(served: Served, environment: dict[str, str], one_in: int) -> JSON:
    read = _reader(served, environment, one_in)
    at_rest = [read() for _ in range(READS_AT_REST)]
    meanwhile: list[float] = []
    over = threading.Event()

    def keep_reading() -> None:
        while not over.is_set():
            meanwhile.append(read())

    readers = [threading.Thread(target=keep_reading) for _ in range(2)]
    for reader in readers:
        reader.start()
    started = time.monotonic()
    erasure = _call(served, "POST", "/privacy/erase", {"userIds": ["ben"]})["erasureId"]
    while (found := _call(served, "GET", f"/privacy/erasures/{erasure}"))["status"] in ("waiting", "erasing"):
        time.sleep(0.1)
    took = time.monotonic() - started
    over.set()
    for reader in readers:
        reader.join()
    counts = found["counts"]
    return {
        "records": counts["lookedAt"],
        "removed": counts["removed"],
        "cut": counts["cut"],
        "seconds": took,
        "reads_meanwhile": len(meanwhile),
        "p50_ms": statistics.median(meanwhile),
        "p99_ms": statistics.quantiles(meanwhile, n=100)[98],
        "p99_ms_at_rest": statistics.quantiles(at_rest, n=100)[98],
    }


def _reader(served: Served, environment: dict[str, str], one_in: int) -> Callable[[], float]:
    caller = environment["RESOLVER_CALLER_TOKENS"].partition(":")[2]
    pool = urllib3.PoolManager(maxsize=4, retries=False)
    headers = {"x-velt-api-key": "key", "x-velt-auth-token": caller, "content-type": "application/json"}
    # The erased person shares these: they are cut, and stay.
    ids = [f"n-{n * one_in}" for n in range(1, 41, 2)]
    body = orjson.dumps({"organizationId": "acme", "notificationIds": ids})

    def read() -> float:
        began = time.monotonic()
        reply = pool.request("POST", f"{served.url}/api/velt/notifications/get", body=body, headers=headers)
        assert reply.status == 200, reply.data
        assert len(reply.json()["data"]) == 20
        return (time.monotonic() - began) * 1000

    return read


def _call(served: Served, method: str, path: str, body: Any = None) -> Any:
    reply = urllib3.request(
        method,
        served.url + path,
        body=orjson.dumps(body) if body else None,
        headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        retries=False,
    )
    assert reply.status < 300, reply.data
    return reply.json()


if __name__ == "__main__":
    main()
