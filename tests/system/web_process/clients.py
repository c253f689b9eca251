"""Clients of a web process: idle, slow, many, and such as hang up."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import urllib3

from tests.support import JSON
from tests.system.conftest import Served
from tests.system.load import HEADERS, post
from tests.system.processes import children_of
from tests.waiting import until

Environment = dict[str, str]
AT_ONCE = 1.5
"""Seconds: the limit for an answer that waits for no other client, on a busy machine."""
FAIRLY_SOON = 5
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
LAST_LIVEZ = LIVEZ.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
HALF = b"GET /livez HTTP/1.1\r\nhost"
CREDENTIALS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
HALF_A_BODY = b"POST /api/velt/token HTTP/1.1\r\nhost: x\r\n" + CREDENTIALS + b"content-length: 9\r\n\r\n{"
_SLOW_REQUESTS = 100
READ = "/api/velt/notifications/get"


def child(served: Served) -> int:
    (found,) = children_of(served.process.pid)
    return found


def files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def address_of(served: Served) -> tuple[str, int]:
    target = urlsplit(served.url)
    return target.hostname or "", target.port or 0


def connect(served: Served, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(address_of(served), timeout=10)
    connection.sendall(said)
    return connection


@contextmanager
def clients(served: Served, number: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Clients that send so much, then nothing, and stay connected."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(served, said)) for _ in range(number)]


def connections_of(served: Served) -> dict[int, int]:
    """The connections that the server has accepted and not closed: the client's port, and how many bytes of
    it the server hasn't read."""
    found = {}
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, _, _, _, _, inode, *_ = line.split()
        # A connection has no inode before the server has accepted it, and after the server has closed it.
        if int(local.partition(":")[2], 16) == address_of(served)[1] and inode != "0":
            found[int(remote.partition(":")[2], 16)] = int(queues.partition(":")[2], 16)
    return {port: unread for port, unread in found.items() if port}


def wait_until_read(served: Served, *connections: socket.socket) -> None:
    """Wait until the server has accepted these connections, and read all that the clients have sent."""
    ports = [connection.getsockname()[1] for connection in connections]

    def are_read() -> bool:
        unread = connections_of(served)
        return all(unread.get(port) == 0 for port in ports)

    until(are_read, f"{len(ports)} clients heard")


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def everything(connection: socket.socket) -> bytes:
    """Read until the other side ends the connection."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def seconds_for_livez(served: Served, patience: float = 10) -> float:
    started = time.monotonic()
    with urllib3.PoolManager(retries=False, timeout=patience) as new:
        assert new.request("GET", f"{served.url}/livez").status == 200
    return time.monotonic() - started


def slowest_of_ten(served: Served) -> float:
    return max(seconds_for_livez(served) for _ in range(10))


def read(served: Served) -> int:
    return post(served.url, READ, {"organizationId": "acme", "notificationIds": ["n-1"]})[0]


def known(served: Served) -> socket.socket:
    """Make a connection on which a request has been answered already."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(address_of(served))
    connection.sendall(LIVEZ)
    assert b"200 OK" in connection.recv(4096)
    return connection


def asking_for(ids: list[str]) -> bytes:
    return posting(READ, {"organizationId": "acme", "notificationIds": ids})


def posting(path: str, given: JSON) -> bytes:
    body = orjson.dumps(given)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + CREDENTIALS + b"\r\n" + body


def slow_reader(served: Served, stack: ExitStack) -> socket.socket:
    """Open a client that asks for more than kernel buffers hold, and reads nothing."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(address_of(served))
    connection.sendall(LIVEZ.replace(b"/livez", b"/openapi.json") * _SLOW_REQUESTS)
    return connection
