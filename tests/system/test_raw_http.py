"""Broken framing and bodies without a length, which only a real server and a raw socket can show."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson
import pytest

from tests.support import BACKEND, notification
from tests.system.conftest import Served

pytestmark = pytest.mark.system
MEBIBYTE = 2**20


def send(
    served: Served,
    path: str,
    body: bytes,
    *,
    chunked: bool = True,
    credentials: Mapping[str, str] = BACKEND,
) -> tuple[int, bytes]:
    """Send a request that is written by hand, and return status and body of the answer."""
    target = urlsplit(served.url)
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {target.netloc}",
        "content-type: application/json",
        "connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in credentials.items()]
    lines += ["transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"]
    with socket.create_connection((target.hostname or "", target.port or 0), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        try:
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server answered and closed before all of it was sent
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, payload = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), payload


def in_chunks(body: bytes) -> bytes:
    pieces = [body[n : n + 65536] for n in range(0, len(body), 65536)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("path", ["/v2/notifications/add", "/api/velt/notifications/get", "/api/velt/token"])
@pytest.mark.parametrize(
    "body",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n0\r\n\r\n", b"2\r\n{}", b"2\r\n{}XX0\r\n\r\n", b"5\r\n{}\r\n"],
)
def test_broken_chunks_are_answered_with_a_client_error(served: Served, path: str, body: bytes) -> None:
    status, _ = send(served, path, body)
    assert "internal_error" not in served.log, served.log
    assert 400 <= status < 500


def test_a_body_in_chunks_is_read_whole(served: Served) -> None:
    status, answer = send(served, "/v2/notifications/add", in_chunks(orjson.dumps({"data": notification()})))
    assert (status, b"registered" in answer) == (200, True)


@pytest.mark.parametrize("size", [MEBIBYTE + 1, 2 * MEBIBYTE])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_too_large_is_refused_however_it_is_framed(served: Served, size: int, chunked: bool) -> None:
    body = orjson.dumps({"data": notification()})
    body += b" " * (size - len(body))
    status, answer = send(
        served, "/v2/notifications/add", in_chunks(body) if chunked else body, chunked=chunked
    )
    assert (status, orjson.loads(answer)["error"]["status"]) == (413, "INVALID_ARGUMENT")


def test_body_of_exactly_one_mebibyte_is_accepted(served: Served) -> None:
    body = orjson.dumps({"data": notification()})
    status, _ = send(served, "/v2/notifications/add", in_chunks(body + b" " * (MEBIBYTE - len(body))))
    assert status == 200


@pytest.mark.parametrize("path", ["/api/velt/notifications/get", "/privacy/export"])
def test_an_empty_bearer_reaches_the_surface_and_gets_its_shape(served: Served, path: str) -> None:
    status, answer = send(served, path, b"{}", chunked=False, credentials={"Authorization": "Bearer "})
    assert (status, orjson.loads(answer).keys() & {"success", "error"} != set()) == (
        401 if "velt" in path else 404,
        True,
    )
