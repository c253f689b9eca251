"""When a client's connection is ended, by a clock of the test's own. Real processes: system/web_process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from resolver.client_connections import SENDING, ClientConnection, ClientConnections


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connections(clock: Clock) -> ClientConnections:
    return ClientConnections(idle_seconds=75, most=3, clock=clock)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, client = socket.socketpair()
    client.settimeout(5)
    with ours, client:
        yield ours, client


def is_ended(connection: ClientConnection) -> bool:
    """Whether a greenlet that waits for the client would go on now."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


@pytest.mark.parametrize(("seconds", "ended"), [(74.9, False), (75, True)])
def test_idle_connection_is_ended_after_the_keep_alive_time(
    connections: ClientConnections,
    clock: Clock,
    pair: tuple[socket.socket, socket.socket],
    seconds: float,
    ended: bool,
) -> None:
    with connections.opened(pair[0]) as connection:
        clock.now += seconds
        connections.end_overdue()
        assert is_ended(connection) is ended


@pytest.mark.parametrize(("seconds", "ended"), [(19.9, False), (20, True)])
def test_request_is_ended_twenty_seconds_after_its_first_byte(
    connections: ClientConnections,
    clock: Clock,
    pair: tuple[socket.socket, socket.socket],
    seconds: float,
    ended: bool,
) -> None:
    with connections.opened(pair[0]) as connection:
        clock.now += 50
        for piece in (b"GET", b" /livez"):
            pair[1].sendall(piece)
            assert connection.recv(100) == piece
            clock.now += seconds / 2
        connections.end_overdue()
        assert is_ended(connection) is ended


def test_request_that_is_being_worked_on_can_be_answered_after_its_time(
    connections: ClientConnections, clock: Clock, pair: tuple[socket.socket, socket.socket]
) -> None:
    with connections.opened(pair[0]) as connection:
        pair[1].sendall(b"GET /export")
        connection.recv(100)
        clock.now += 60
        connections.end_overdue()
        connection.sendall(b"200 OK")
        assert pair[1].recv(100) == b"200 OK"


def test_rest_of_a_request_that_was_cut_off_is_not_read_as_the_next_one(
    connections: ClientConnections, clock: Clock, pair: tuple[socket.socket, socket.socket]
) -> None:
    with connections.opened(pair[0]) as connection:
        pair[1].sendall(b"POST /a")
        connection.recv(100)
        clock.now += 20
        connections.end_overdue()
        assert connection.recv(100) == b""
        with suppress(OSError):
            pair[1].sendall(b"GET /smuggled HTTP/1.1")
        assert connection.recv(100) == b""


def test_client_that_takes_nothing_of_an_interim_reply_is_cut_off(
    connections: ClientConnections, clock: Clock, pair: tuple[socket.socket, socket.socket]
) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with connections.opened(pair[0]) as connection:
        pair[1].sendall(b"POST /a")
        connection.recv(100)
        failed: list[BaseException] = []

        def send() -> None:
            try:
                connection.send(b"HTTP/1.1 100 Continue" * 100_000)
            except OSError as error:
                failed.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        while connection.phase != SENDING:
            sender.join(0.01)
        clock.now += 20
        connections.end_overdue()
        sender.join(5)
        assert [type(error) for error in failed] == [BrokenPipeError]


def test_body_that_follows_a_pipelined_head_has_twenty_seconds_of_its_own(
    connections: ClientConnections, clock: Clock, pair: tuple[socket.socket, socket.socket]
) -> None:
    with connections.opened(pair[0]) as connection:
        pair[1].sendall(b"GET / POST /")
        connection.recv(100)
        connection.begin_request()
        connection.sendall(b"200 OK")
        assert connection.begin_request(), "other connections go first"
        clock.now += 20
        connections.end_overdue()
        assert is_ended(connection)


def test_connections_idle_for_longest_are_ended_when_there_are_too_many(
    connections: ClientConnections, clock: Clock
) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    with (
        connections.opened(pairs[0][0]) as first,
        connections.opened(pairs[1][0]) as second,
        connections.opened(pairs[2][0]) as third,
    ):
        clock.now += 1
        connections.end_overdue()
        with connections.opened(pairs[3][0]) as fourth, connections.opened(pairs[4][0]) as fifth:
            pairs[0][1].sendall(b"G")
            first.recv(1)
            connections.end_overdue()
            found = [is_ended(connection) for connection in (first, second, third, fourth, fifth)]
    for pair in pairs:
        for end in pair:
            end.close()
    assert found == [False, True, True, False, False]


@pytest.mark.parametrize(("idle_seconds", "ended"), [(0, True), (2, False)])
def test_idle_connections_are_ended_at_a_stop(
    connections: ClientConnections,
    pair: tuple[socket.socket, socket.socket],
    idle_seconds: float,
    ended: bool,
) -> None:
    with connections.opened(pair[0]) as connection:
        connections.stop(idle_seconds)
        connections.end_overdue()
        assert is_ended(connection) is ended
