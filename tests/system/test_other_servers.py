"""Other WSGI servers: nothing of the application depends on gunicorn's gevent worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from tests.support import JSON, signed
from tests.system.conftest import Served, free_port, plain_environment, wait_until_ready
from tests.system.load import HEADERS, add

pytestmark = pytest.mark.system
GET, DELETE = "/api/velt/notifications/get", "/api/velt/notifications/delete"
ORIGIN = "https://app.example.com"
SERVERS = {
    "gthread": "gunicorn -c deploy/gunicorn.conf.py -k gthread --threads 8 wsgi:app",
    "granian": "granian --interface wsgi --blocking-threads 8 --host 127.0.0.1 wsgi:app",
}


@pytest.fixture(params=SERVERS)
def served(
    request: pytest.FixtureRequest, resolver_environment: dict[str, str], tmp_path: Path
) -> Iterator[Served]:
    port, log = free_port(), tmp_path / "log"
    where = {
        "RESOLVER_BIND": f"127.0.0.1:{port}",
        "GRANIAN_PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "RESOLVER_CORS_ORIGINS": ORIGIN,
    }
    with log.open("wb") as output:
        process = start_child(
            [sys.executable, "-m", *SERVERS[request.param].split()],
            env=plain_environment({**resolver_environment, **where}),
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        yield Served(f"http://127.0.0.1:{port}", process, log)
    finally:
        stop_child(process)


def call(served: Served, path: str, body: JSON, user: str = "") -> urllib3.BaseHTTPResponse:
    who = {"authorization": f"Bearer {signed(user, 'acme')}"} if user else HEADERS
    headers = {"content-type": "application/json", "origin": ORIGIN, **who}
    return urllib3.request("POST", served.url + path, json=body, headers=headers, retries=False)


def asked(*ids: str) -> JSON:
    return {"organizationId": "acme", "notificationIds": list(ids)}


def test_data_provider_endpoints_are_answered(served: Served) -> None:
    assert add(served.url, "n-1")[0] == 200
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: call(served, GET, asked("n-1", "n-2")), range(64)))
    assert {reply.status for reply in replies} == {200}
    assert all(reply.json()["data"].keys() == {"n-1"} for reply in replies)
    assert replies[0].headers["access-control-allow-origin"] == ORIGIN
    assert call(served, DELETE, {"organizationId": "acme", "notificationId": "n-1"}).status == 200
    assert call(served, GET, asked("n-1")).json()["data"] == {}


def test_data_provider_endpoints_refuse_alike(served: Served) -> None:
    assert add(served.url, "n-1")[0] == 200
    assert call(served, GET, asked("n-1"), user="somebody-else").json()["data"] == {}
    assert call(served, GET, {"organizationId": "acme", "notificationIds": "n-1"}).status == 400
    unknown = urllib3.request("POST", served.url + GET, json=asked("n-1"), retries=False)
    assert unknown.status == 401
    assert urllib3.request("GET", served.url + GET, retries=False).status == 405
    preflight = urllib3.request(
        "OPTIONS",
        served.url + GET,
        headers={"origin": ORIGIN, "access-control-request-method": "POST"},
        retries=False,
    )
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
