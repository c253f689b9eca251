"""When a client's connection is ended, with a clock that the test sets. See system/web_process for
processes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from resolver.ops.client_connections import SENDING, ClientConnection, ClientConnections
from tests.clocks import Clock


@dataclass(frozen=True)
class Opened:
    """One connection with both of its ends."""

    connection: ClientConnection
    server: socket.socket
    client: socket.socket


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connections(clock: Clock) -> ClientConnections:
    return ClientConnections(idle_seconds=75, most=3, clock=clock)


@pytest.fixture
def opened(connections: ClientConnections) -> Iterator[Opened]:
    """Open a TCP connection: on other sockets a shutdown has other effects."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=5) as client,
        listener.accept()[0] as server,
        connections.opened(server) as connection,
    ):
        yield Opened(connection, server, client)


def is_ended(server: socket.socket) -> bool:
    """Whether a greenlet that waits for the client at this end would resume now."""
    server.setblocking(False)
    try:
        return server.recv(1) == b""
    except BlockingIOError:
        return False


@pytest.mark.parametrize(("seconds", "ended"), [(74.9, False), (75, True)])
def test_idle_connection_is_ended_after_the_keep_alive_time(
    connections: ClientConnections, clock: Clock, opened: Opened, seconds: float, ended: bool
) -> None:
    clock.now += seconds
    connections.end_overdue()
    assert is_ended(opened.server) is ended


@pytest.mark.parametrize(("seconds", "ended"), [(19.9, False), (20, True)])
def test_request_is_ended_twenty_seconds_after_its_first_byte(
    connections: ClientConnections, clock: Clock, opened: Opened, seconds: float, ended: bool
) -> None:
    clock.now += 50
    for piece in (b"GET", b" /livez"):
        opened.client.sendall(piece)
        assert opened.connection.recv(100) == piece
        clock.now += seconds / 2
    connections.end_overdue()
    assert is_ended(opened.server) is ended


def test_request_that_is_being_worked_on_can_be_answered_after_its_time(
    connections: ClientConnections, clock: Clock, opened: Opened
) -> None:
    opened.client.sendall(b"GET /export")
    opened.connection.recv(100)
    clock.now += 60
    connections.end_overdue()
    opened.connection.sendall(b"200 OK")
    assert opened.client.recv(100) == b"200 OK"


def test_rest_of_a_request_that_was_cut_off_is_not_read_as_the_next_one(
    connections: ClientConnections, clock: Clock, opened: Opened
) -> None:
    opened.client.sendall(b"POST /a")
    opened.connection.recv(100)
    clock.now += 20
    connections.end_overdue()
    assert opened.connection.recv(100) == b""
    with suppress(OSError):
        opened.client.sendall(b"GET /smuggled HTTP/1.1")
    assert opened.connection.recv(100) == b""


def test_client_that_takes_nothing_of_an_interim_reply_is_cut_off(
    connections: ClientConnections, clock: Clock, opened: Opened
) -> None:
    opened.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    opened.client.sendall(b"POST /a")
    opened.connection.recv(100)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            opened.connection.send(b"HTTP/1.1 100 Continue" * 1_000_000)
        except OSError as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    while opened.connection.phase != SENDING:
        sender.join(0.01)
    clock.now += 20
    connections.end_overdue()
    sender.join(5)
    assert [type(error) for error in failed] == [BrokenPipeError]


def test_body_that_follows_a_pipelined_head_has_twenty_seconds_of_its_own(
    connections: ClientConnections, clock: Clock, opened: Opened
) -> None:
    opened.client.sendall(b"GET / POST /")
    opened.connection.recv(100)
    opened.connection.begin_request()
    opened.connection.sendall(b"200 OK")
    assert opened.connection.begin_request(), "other connections go first"
    clock.now += 20
    connections.end_overdue()
    assert is_ended(opened.server)


def test_connections_idle_for_longest_are_ended_when_there_are_too_many(
    connections: ClientConnections, clock: Clock
) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    with ExitStack() as stack:
        opened = []
        for server, client in pairs:
            stack.enter_context(server)
            stack.enter_context(client)
            opened.append(stack.enter_context(connections.opened(server)))
            clock.now += 1
        pairs[0][1].sendall(b"G")
        opened[0].recv(1)
        connections.end_overdue()
        assert [is_ended(server) for server, _ in pairs] == [False, True, True, False, False]


@pytest.mark.parametrize(("idle_seconds", "ended"), [(0, True), (2, False)])
def test_idle_connections_are_ended_at_a_stop(
    connections: ClientConnections, opened: Opened, idle_seconds: float, ended: bool
) -> None:
    connections.stop(idle_seconds)
    connections.end_overdue()
    assert is_ended(opened.server) is ended
