"""Calls to another service, over sockets that say exactly what a test wants them to."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.http_client import HttpClient
from tests.network import read_request
from tests.servers import Authority, authority
from tests.waiting import until

LARGEST = 100_000
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain"


@dataclass
class Server:
    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: int = 0


@contextmanager
def saying(
    answers: Sequence[bytes], *, then_closes: bool = False, certified: Authority | None = None
) -> Iterator[Server]:
    """One of these to each request on a connection, and what comes after it is closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    if certified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified.certificate, certified.key)
        listener = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
    server = Server(f"http{'s' * bool(certified)}://127.0.0.1:{listener.getsockname()[1]}/base")

    def serve(connection: socket.socket) -> None:
        with connection:
            for answer in answers:
                if not (asked := read_request(connection)):
                    return
                server.requests.append(asked)
                connection.sendall(answer)
            if not then_closes:
                connection.recv(65536)
        server.closed += 1

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield server
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def client_of(server: Server, **headers: str) -> HttpClient:
    return HttpClient(server.url, headers, connections=2, largest_answer=LARGEST)


def call(client: HttpClient, body: bytes | None = b"{}") -> bytes:
    return client.call("POST" if body else "GET", Deadline.after(2), body, "/path").body


def test_request_has_its_path_host_headers_and_length() -> None:
    with saying([PLAIN]) as server:
        assert call(client_of(server, **{"x-key": "k"}), b'{"a":1}') == b"plain"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert head.startswith(b"POST /base/path HTTP/1.1\r\n")
    assert {f"host: {server.url[7:-5]}".encode(), b"x-key: k", b"content-length: 7"} <= set(lines)
    assert body == b'{"a":1}'


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\npl\r\n3\r\nain\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        % len(gzip.compress(b"plain"))
        + gzip.compress(b"plain"),
    ],
    ids=["length", "chunks", "continue", "gzip"],
)
def test_answers_are_read_to_their_end_and_connections_are_used_again(answer: bytes) -> None:
    with saying([answer, answer]) as server:
        client = client_of(server)
        assert [call(client), call(client)] == [b"plain", b"plain"]
    assert server.connections == 1


def test_an_answer_that_ends_with_its_connection_is_read_to_the_end() -> None:
    with saying([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nplain"], then_closes=True) as server:
        client = client_of(server)
        assert [call(client), call(client)] == [b"plain", b"plain"]
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    with saying([PLAIN], then_closes=True) as server:
        client = client_of(server)
        for _ in range(3):
            assert call(client) == b"plain"
            # Otherwise the next call may be quicker than the server's end.
            until(lambda: server.closed == server.connections, "the server has closed the connection")
    assert server.connections == 3


@pytest.mark.parametrize("stray", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"x"])
def test_unexpected_data_is_not_taken_for_the_next_answer(stray: bytes) -> None:
    with saying([PLAIN + stray, PLAIN]) as server:
        client = client_of(server)
        assert [call(client), call(client)] == [b"plain", b"plain"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nplain",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nplain",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"plain")[:-9],
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"0" * (LARGEST + 1)),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"0" * (LARGEST + 1),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200,
    ],
    ids=["short", "short chunk", "cut gzip", "gzip bomb", "endless", "endless head"],
)
def test_truncated_or_too_large_answer_is_refused(answer: bytes) -> None:
    with saying([answer], then_closes=True) as server, pytest.raises(ServiceUnreachable):
        call(client_of(server))


@pytest.mark.parametrize("value", ["a\r\nx-other: b", "a\nb", "a\x00b", "\u20ac"])
def test_a_header_that_could_end_its_line_is_never_sent(value: str) -> None:
    with saying([PLAIN]) as server, pytest.raises(ValueError, match="not a header"):
        client_of(server, **{"x-key": value})


@pytest.mark.parametrize("url", ["{}", "{}/", "{}/?a=b", "{}?a=b"])
def test_request_target_is_always_a_path(url: str) -> None:
    with saying([PLAIN]) as server:
        url = url.format(server.url.removesuffix("/base"))
        HttpClient(url, {}, connections=1, largest_answer=LARGEST).call("GET", Deadline.after(2))
    target = b"/?a=b" if "a=b" in url else b"/"
    assert server.requests[0].startswith(b"GET %s HTTP/1.1\r\n" % target)


def test_after_an_interim_answer_a_connection_is_not_used_again() -> None:
    """Otherwise the next call would take the answer to this one, which still arrives."""
    with saying([b"HTTP/1.1 103 Early Hints\r\n\r\n", PLAIN]) as server:
        client = client_of(server)
        assert [call(client), call(client)] == [b"", b""]
    assert server.connections == 2


def test_data_that_tls_decrypted_early_is_not_taken_for_the_next_answer(tmp_path: Path) -> None:
    certified = authority(tmp_path)
    stray = b" " * (8192 - len(PLAIN)) + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    with saying([PLAIN + stray], certified=certified) as server:
        client = HttpClient(server.url, {}, connections=2, largest_answer=LARGEST, ca_file=str(certified.ca))
        assert [call(client), call(client)] == [b"plain", b"plain"]
