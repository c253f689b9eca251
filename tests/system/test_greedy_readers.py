"""Readers that ask for the most they may and read nothing of the answer, beside readers of small answers."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
import urllib3
from msgspec.structs import replace

from resolver.config import load
from resolver.wiring import build_stores
from tests.network import address_of
from tests.store.conftest import record
from tests.support import METRICS_TOKEN, figures_in, signed
from tests.system.conftest import Served, serving
from tests.system.processes import web_processes_of
from tests.waiting import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]
GET = "/api/velt/notifications/get"
READERS = 16
IDS = [f"n-{n}" for n in range(1000)]
CONTENT = orjson.dumps({"displayBodyMessage": "x" * (32 * 1024 - 25)})
MOST_BYTES = 256 * 1024 * 1024
LARGE_REFUSED = 'resolver_replies_refused_total{what="large"}'
SMALL_REFUSED = 'resolver_replies_refused_total{what="small"}'


@pytest.fixture
def served(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    """One web process, and 1,000 notifications to everyone with 32 KiB of content each."""
    assert len(CONTENT) == 32 * 1024
    store = build_stores(load(resolver_environment)).store
    for id_ in IDS:
        store.put(replace(record(id_), everyone=True, content=CONTENT))
    changes = {"RESOLVER_WORKER": "separate", "RESOLVER_METRICS_TOKEN": METRICS_TOKEN}
    with serving({**resolver_environment, **changes}, tmp_path / "log") as running:
        yield running


def ask(served: Served, user: str) -> socket.socket:
    """Ask for everything, over a connection whose kernel buffers hold little of the answer."""
    body = orjson.dumps({"organizationId": "acme", "notificationIds": IDS})
    head = (
        f"POST {GET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"authorization: Bearer {signed(user, 'acme')}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(address_of(served.url))
    connection.sendall(head.encode() + body)
    return connection


def read(served: Served, user: str, ids: list[str]) -> urllib3.BaseHTTPResponse:
    body = {"organizationId": "acme", "notificationIds": ids}
    bearer = {"authorization": f"Bearer {signed(user, 'acme')}"}
    return urllib3.request("POST", f"{served.url}{GET}", json=body, headers=bearer, retries=False, timeout=10)


def most_memory(pid: int) -> int:
    """Return the largest resident memory of a process since its start, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def refused(served: Served) -> dict[str, float]:
    bearer = {"authorization": f"Bearer {METRICS_TOKEN}"}
    reply = urllib3.request("GET", f"{served.url}/metrics", headers=bearer, retries=False, timeout=10)
    return figures_in(reply.data.decode())


@pytest.mark.parametrize("people", [READERS, 1], ids=["different people", "one person"])
def test_readers_that_take_no_answer_neither_exhaust_memory_nor_delay_small_reads(
    served: Served, people: int
) -> None:
    (process,) = web_processes_of(served.process.pid)
    with ExitStack() as stack:
        greedy = [stack.enter_context(ask(served, f"greedy-{n % people}")) for n in range(READERS)]
        small = [read(served, "ben", [IDS[n % 1000]]).status for n in range(100)]
        assert set(small) == {200}
        heads = [connection.recv(400) for connection in greedy]
        statuses = [int(head[9:12]) for head in heads]
        assert set(statuses) == {200, 503}
        assert statuses.count(503) >= READERS - 3, heads
        assert all(b"Retry-After: " in head for head in heads if head[9:12] == b"503")
        figures = refused(served)
        assert (figures[LARGE_REFUSED], figures[SMALL_REFUSED]) == (statuses.count(503), 0)
        assert read(served, "ben", IDS[:5]).status == 200
    assert most_memory(process) < MOST_BYTES

    until(lambda: read(served, "ben", IDS).status == 200, seconds=10)


def test_largest_question_is_answered_again_and_again_in_bounded_memory(served: Served) -> None:
    (process,) = web_processes_of(served.process.pid)
    for _ in range(10):
        reply = read(served, "ben", IDS)
        assert reply.status == 200
        assert reply.json()["data"].keys() == set(IDS)
    assert most_memory(process) < MOST_BYTES
