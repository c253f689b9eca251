"""The server under the app: keep-alive, silence, rude clients, and a clean end."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import urllib3

from resolver.sandbox import RunningSandbox, create_app, start
from tests.sandbox.conftest import API_KEY, AUTH_TOKEN, Velt


@pytest.fixture
def line(running: RunningSandbox) -> Iterator[socket.socket]:
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        yield connection


def answer(line: socket.socket, request: bytes) -> bytes:
    line.sendall(request)
    return line.recv(65_536)


def test_one_connection_serves_many_requests(velt: Velt) -> None:
    with closing(
        urllib3.HTTPConnectionPool("127.0.0.1", int(velt.url.rpartition(":")[2]), maxsize=1)
    ) as pool:
        for _ in range(20):
            assert pool.request("GET", "/_sandbox/access").status == 200
        assert (pool.num_connections, pool.num_requests) == (1, 20)


def test_a_call_does_not_wait_for_delayed_acknowledgements(velt: Velt) -> None:
    def duration() -> float:
        started = time.monotonic()
        velt.add()
        return time.monotonic() - started

    assert min(duration() for _ in range(20)) < 0.03


def test_nothing_is_logged(velt: Velt, capfd: pytest.CaptureFixture[str]) -> None:
    velt.add()
    velt.raw("/v2/unknown", b"{")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"FETCH /v2/notifications/add HTTP/1.1\r\n\r\n",
        b"POST /v2/notifications/add HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/notifications/add HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"POST /v2/notifications/add HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /v2/notifications/add HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(150)) + b"\r\n",
        b"POST /v2/notifications/add HTTP/1.1\r\nHost: [\r\n\r\n",
        b"POST /v2/%ff%00/add HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_http_is_a_4xx_in_velts_shape(line: socket.socket, request_: bytes) -> None:
    reply = answer(line, request_)
    assert reply.startswith(b"HTTP/1.1 4")
    assert b'{"error":{"message":' in reply


def test_a_head_request_gets_no_body_so_that_the_connection_stays_in_step(line: socket.socket) -> None:
    head = answer(line, b"HEAD /_sandbox/access HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert answer(line, b"GET /_sandbox/access HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_for_it_has_its_connection_closed(line: socket.socket) -> None:
    reply = answer(line, b"GET /_sandbox/access HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Connection: close" in reply
    assert line.recv(1) == b""


@pytest.mark.parametrize("part", [b"", b"POST /v2/no", b"POST /v2/x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"])
def test_a_client_that_leaves_early_disturbs_nobody(
    line: socket.socket, velt: Velt, part: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    line.sendall(part)
    line.close()
    assert velt.add().code == 200
    assert capfd.readouterr() == ("", "")


def test_stopping_ends_kept_alive_connections_and_frees_the_port() -> None:
    sandbox = start(create_app(API_KEY, AUTH_TOKEN))
    port = int(sandbox.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        assert answer(line, b"GET /_sandbox/access HTTP/1.1\r\nHost: x\r\n\r\n")
        sandbox.stop()
        assert line.recv(1) == b""
    with start(create_app(API_KEY, AUTH_TOKEN), port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}"


def test_two_sandboxes_share_nothing(velt: Velt) -> None:
    velt.add()
    with start(create_app(API_KEY, AUTH_TOKEN)) as other:
        client = Velt(other.url)
        assert client.get(documentId="doc1").data == []
        client.pool.clear()
