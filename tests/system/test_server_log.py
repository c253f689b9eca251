"""The HTTP server's own log lines say what went wrong, and quote nothing that a client sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import Served, serving
from tests.waiting import until

pytestmark = pytest.mark.system
SECRET = "CANARY"
REFUSED = {
    "a header without a colon": f"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {SECRET}\r\n\r\n",
    "a request line with a query": f"GET /{SECRET}?token={SECRET} HTTP/{SECRET}\r\nHost: x\r\n\r\n",
    "a method": f"{SECRET}\x01 / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line that is too long": f"GET /?{SECRET * 1000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header's name": f"GET /livez HTTP/1.1\r\nHost: x\r\n{SECRET}@: {SECRET}\r\n\r\n",
    "a header's value": f"GET /livez HTTP/1.1\r\nHost: x\r\nA: {SECRET}\x00\r\n\r\n",
    "a header that is too long": f"GET /livez HTTP/1.1\r\nHost: x\r\nA: {SECRET * 3000}\r\n\r\n",
    "a transfer coding": f"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {SECRET}\r\n\r\n",
    "a length": f"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}\r\n\r\n",
    "folding": f"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n {SECRET}\r\n\r\n",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def served(resolver_environment: dict[str, str], log: Path) -> Iterator[Served]:
    with serving(resolver_environment, log) as running:
        yield running


def test_the_server_log_never_quotes_a_request(served: Served, log: Path) -> None:
    for request in REFUSED.values():
        with socket.create_connection(("127.0.0.1", urlsplit(served.url).port), 5) as line:
            line.sendall(request.encode("latin-1"))
            line.settimeout(5)
            assert line.recv(65_536).split(b" ")[1] in {b"400", b"414", b"431", b"501"}
    until(lambda: log.read_text().count("Invalid request") == len(REFUSED), "a line for each")
    text = log.read_text()
    assert SECRET not in text
    for kind in ("InvalidHeader", "InvalidHTTPVersion", "LimitRequestLine", "UnsupportedTransferCoding"):
        assert f"Invalid request from ip=127.0.0.1: {kind}" in text
