"""How long it takes to erase one person out of many records, and what others notice of it meanwhile.

A real `resolver serve` with its worker, a real Redis, the Velt sandbox. Every record has the person in it:
half of them go, the other half are cut. Somebody else reads all the while.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import urllib3
from rich.console import Console
from rich.progress import track
from rich.table import Table

from resolver.cli.keys import fresh_secrets
from resolver.cli.local_redis import LocalRedis
from resolver.record import Record
from resolver.sandbox import create_app, start
from resolver.services import build_stores
from resolver.settings import load
from tests.system.conftest import Served, serving

RECORDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
READS_AT_REST = 300
PERSON = {"userId": "ben", "name": "Ben", "email": "ben@example.com"}
CONTENT = orjson.dumps(
    {"actionUser": {"userId": "ana", "name": "Ana"}, "displayBodyMessage": "Friday? " * 30}
)
SHARED = orjson.dumps(
    {**orjson.loads(CONTENT), "displayHeadlineMessageTemplateData": {"recipientUser": PERSON}}
)
TOKEN = "privacy-token-of-the-benchmark-0123456789"


def main() -> None:
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
            _fill(environment)
            with serving(environment, Path(data) / "log") as served:
                _measure(served, environment)
        finally:
            server.stop()


def _fill(environment: dict[str, str]) -> None:
    vault = build_stores(load(environment)).vault
    for n in track(range(RECORDS), description="Filling", console=Console(stderr=True)):
        whole = n % 2 == 0
        audience = ("ben",) if whole else ("ben", "cleo")
        vault.put(
            Record("acme", f"n-{n}", "doc", "ana", audience, False, content=CONTENT if whole else SHARED)
        )


def _measure(served: Served, environment: dict[str, str]) -> None:
    read = _reader(served, environment)
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
    table = Table(
        "records", "removed", "cut", "seconds", "reads meanwhile", "p50 ms", "p99 ms", "p99 ms at rest"
    )
    counts = found["counts"]
    table.add_row(
        str(counts["lookedAt"]),
        str(counts["removed"]),
        str(counts["cut"]),
        f"{took:.1f}",
        str(len(meanwhile)),
        f"{statistics.median(meanwhile):.1f}",
        f"{statistics.quantiles(meanwhile, n=100)[98]:.1f}",
        f"{statistics.quantiles(at_rest, n=100)[98]:.1f}",
    )
    Console().print(table)


def _reader(served: Served, environment: dict[str, str]) -> Callable[[], float]:
    caller = environment["RESOLVER_CALLER_TOKENS"].partition(":")[2]
    pool = urllib3.PoolManager(maxsize=4, retries=False)
    headers = {"x-velt-api-key": "key", "x-velt-auth-token": caller, "content-type": "application/json"}
    body = orjson.dumps({"organizationId": "acme", "notificationIds": [f"n-{n}" for n in range(1, 41, 2)]})

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
