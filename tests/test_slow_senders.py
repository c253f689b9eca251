"""Who sends one request for too long, on real sockets, as gunicorn reads them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser

from resolver.slow_senders import SlowSenders

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
LENGTH, CHUNKED = HEAD + b"content-length: 4\r\n\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\n"


@dataclass(eq=False)
class Connection:
    sock: socket.socket
    client: socket.socket
    senders: SlowSenders = field(default_factory=SlowSenders)

    def ask(self) -> Any:
        """The next request's headers."""
        request = next(get_parser(Config(), self.sock, None))
        self.senders.heard(self, request)
        return request

    def is_cut_off(self) -> bool:
        """Whether reading finds an end: nothing else was sent."""
        self.sock.settimeout(0.1)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False


@pytest.fixture
def connection() -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = Connection(ours, theirs)
        made.senders.begin(made)
        yield made


def test_who_says_nothing_for_too_long_is_cut_off(connection: Connection) -> None:
    connection.senders.cut_off(10)
    assert not connection.is_cut_off()
    time.sleep(0.2)
    connection.senders.cut_off(0.1)
    assert connection.is_cut_off()


def test_a_thread_that_reads_is_let_go(connection: Connection) -> None:
    found: list[bytes] = []
    reads = threading.Thread(target=lambda: found.append(connection.sock.recv(1)))
    reads.start()
    time.sleep(0.1)
    connection.senders.cut_off(0)
    reads.join(2)
    assert found == [b""]


@pytest.mark.parametrize("sent", [LENGTH + b"abc", CHUNKED + b"2\r\nab\r\n", CHUNKED + b"2\r\nab\r\n0\r\n"])
def test_a_body_belongs_to_the_request(connection: Connection, sent: bytes) -> None:
    connection.client.sendall(sent)
    request = connection.ask()
    reads = threading.Thread(target=lambda: swallow(request))
    reads.start()
    time.sleep(0.1)
    connection.senders.cut_off(0)
    reads.join(2)
    assert not reads.is_alive()


def swallow(request: Any) -> None:
    with suppress(Exception):  # that it ends is all that counts
        request.body.read()


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", LENGTH + b"abcd", CHUNKED + b"2\r\nab\r\n0\r\n\r\n"]
)
def test_who_was_heard_may_be_served_for_as_long_as_it_takes(connection: Connection, sent: bytes) -> None:
    connection.client.sendall(sent)
    connection.ask().body.read()
    connection.senders.cut_off(0)
    assert not connection.is_cut_off()


def test_between_requests_nobody_sends_for_too_long(connection: Connection) -> None:
    connection.senders.end(connection)
    connection.senders.cut_off(0)
    assert not connection.is_cut_off()


def test_one_whose_connection_is_closed_already_is_no_error(connection: Connection) -> None:
    connection.sock.close()
    connection.senders.cut_off(0)


def test_the_next_request_has_as_much_time_as_the_first(connection: Connection) -> None:
    connection.client.sendall(LENGTH + b"abcd")
    connection.ask().body.read()
    connection.senders.end(connection)
    time.sleep(0.3)
    connection.senders.begin(connection)
    connection.senders.cut_off(0.2)
    assert not connection.is_cut_off()
    connection.senders.cut_off(0)
    assert connection.is_cut_off()
