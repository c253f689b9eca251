"""Slow and greedy clients at the public listener of the balancers that `deploy/` ships."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import orjson
import pytest
import urllib3

from tests.support import notification
from tests.system.balancers import GET, Balanced, Balancer, balanced, haproxy, nginx
from tests.system.processes import children_of
from tests.system.test_behind_a_balancer import call

pytestmark = pytest.mark.system

Environment = dict[str, str]
BALANCERS = pytest.mark.parametrize("balancer", [nginx, haproxy])
LIMIT = 128 * 1024
FLOOD_SECONDS = 20
"""How long a client floods the balancer if none of its requests is refused."""
QUESTION = {"organizationId": "acme", "notificationIds": [f"n-{number:024}" for number in range(1000)]}
"""As many ids as one read may name: 29 KB."""


@pytest.fixture
def environment(resolver_environment: Environment) -> Environment:
    return {**resolver_environment, "RESOLVER_DRAIN_SECONDS": "0"}


@contextmanager
def stalled(found: Balanced, number: int, head: str, sent: bytes) -> Iterator[list[ssl.SSLSocket]]:
    """Run clients that send this much of a request, then nothing."""
    host, _, port = found.internet.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=str(found.ca))
    request = f"POST {GET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            plain = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            clients.append(stack.enter_context(context.wrap_socket(plain, server_hostname=host)))
            with suppress(OSError):  # it may be refused while it still sends
                clients[-1].sendall(request + sent)
        yield clients


def announced(size: int) -> str:
    return f"authorization: Bearer garbage\r\ncontent-length: {size}"


def chunked(body: bytes, size: int) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


CHUNKED = "authorization: Bearer garbage\r\ntransfer-encoding: chunked"
LARGE_HEADERS = "".join(f"x-{number}: {'h' * 7000}\r\n" for number in range(4))
STALLED = {
    "60 KB announced, 40 KB sent": (announced(60_000), b"x" * 40_000),
    "all but the last byte of what is accepted": (announced(LIMIT), b"x" * (LIMIT - 1)),
    "large headers as well": (LARGE_HEADERS + announced(LIMIT), b"x" * 120_000),
    "chunks": (CHUNKED, chunked(b"x" * 100_000, 10_000)),
    "chunks of one byte": (CHUNKED, chunked(b"x" * 20_000, 1)),
    "1 MB announced, 900 KB sent": (announced(2**20), b"x" * 900_000),
}


@BALANCERS
@pytest.mark.parametrize("kind", STALLED)
def test_stalled_requests_reach_no_instance_and_delay_no_reader(
    balancer: Balancer, kind: str, environment: Environment, tmp_path: Path
) -> None:
    head, sent = STALLED[kind]
    with balanced(balancer, environment, tmp_path) as found, stalled(found, 20, head, sent):
        for _ in range(10):
            began = time.monotonic()
            assert call(found, found.internet, GET, QUESTION).status == 200
            assert time.monotonic() - began < 1
            for instance in found.instances:
                assert urllib3.request("GET", f"{instance.url}/livez", retries=False, timeout=1).status == 200


def bytes_in_temporary_files(found: Balanced) -> int:
    """Return the size of all temporary files that the balancer has open. nginx unlinks such a file as soon as
    it has made it."""
    total = 0
    for pid in (found.pid, *children_of(found.pid)):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.readlink(descriptor).endswith("(deleted)") and "/dev/" not in os.readlink(descriptor):
                    total += descriptor.stat().st_size
    return total


@pytest.mark.parametrize(
    ("size", "sent"), [(2**20, 2**20 - 1), (LIMIT, LIMIT - 1)], ids=["too large", "as large as accepted"]
)
def test_stalled_uploads_take_no_temporary_space_of_nginx(
    size: int, sent: int, environment: Environment, tmp_path: Path
) -> None:
    """Otherwise they would fill the space that the compose file gives, and other requests would fail."""
    with balanced(nginx, environment, tmp_path) as found, stalled(found, 75, announced(size), b"x" * sent):
        assert call(found, found.internet, GET, QUESTION).status == 200
        assert call(found, found.inside, "/v2/notifications/add", {"data": notification()}).status == 200
        assert bytes_in_temporary_files(found) == 0


@BALANCERS
def test_request_flood_of_one_address_is_refused_readably(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    with balanced(balancer, environment, tmp_path, limits=True) as found:
        with ThreadPoolExecutor(3) as pool:
            refused = [reply for reply in pool.map(first_refusal, [found] * 3) if reply]
        assert refused
        for reply in refused:
            assert reply.headers["access-control-allow-origin"] == "*"
            assert int(reply.headers["retry-after"]) > 0
            assert reply.json()["statusCode"] == 429
        # Backends call another listener.
        assert call(found, found.inside, GET, QUESTION).status == 200


def first_refusal(found: Balanced) -> urllib3.BaseHTTPResponse | None:
    pool, headers = found.pool(), {"content-type": "application/json"}
    until = time.monotonic() + FLOOD_SECONDS
    while time.monotonic() < until:
        reply = pool.request("POST", found.internet + GET, body=b"{}", headers=headers)
        if reply.status == 429:
            return reply
    return None


@BALANCERS
def test_refusal_of_a_body_that_is_too_large_can_be_read_by_a_page(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    with balanced(balancer, environment, tmp_path) as found:
        assert_readable(found, 413, announced(LIMIT + 1))


def test_refusal_of_a_request_that_does_not_arrive_can_be_read_by_a_page(
    environment: Environment, tmp_path: Path
) -> None:
    """nginx ends the connection instead."""
    with balanced(haproxy, environment, tmp_path) as found:
        assert_readable(found, 408, announced(100))


def assert_readable(found: Balanced, status: int, head: str) -> None:
    """Send these headers and nothing else, and check the answer."""
    with stalled(found, 1, head, b"") as (client,):
        client.settimeout(15)
        answered, _, body = client.recv(4096).decode().partition("\r\n\r\n")
    assert answered.startswith(f"HTTP/1.1 {status} ")
    assert "access-control-allow-origin: *" in answered.lower()
    assert (orjson.loads(body)["success"], orjson.loads(body)["statusCode"]) == (False, status)
