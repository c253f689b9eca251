"""A listening socket at its end: connections that began are accepted, no other one begins."""

from __future__ import annotations

import errno
import select
import socket

import pytest

from resolver.ops.listeners import ignore_new_connections


def listening(family: int, address: str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((address, 0))
    listener.listen()
    return listener


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_listener_accepts_what_began_and_ignores_what_comes(family: int, address: str) -> None:
    with listening(family, address) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((address, port)) as early:
            ignore_new_connections([listener])
            with pytest.raises(TimeoutError):
                socket.create_connection((address, port), timeout=0.3)
            early.sendall(b"sent before")
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b", and after")
                early.shutdown(socket.SHUT_WR)
                assert b"".join(iter(lambda: accepted.recv(100), b"")) == b"sent before, and after"


def test_client_is_refused_once_the_listener_is_closed() -> None:
    listener = listening(socket.AF_INET, "127.0.0.1")
    address = listener.getsockname()
    with listener:
        ignore_new_connections([listener])
        late = socket.socket()
        late.setblocking(False)
        late.connect_ex(address)
    with late:
        select.select([], [late], [], 10)
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_unix_socket_is_left_as_it_is(tmp_path: object) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(f"{tmp_path}/s")
        listener.listen()
        ignore_new_connections([listener])
        client.connect(f"{tmp_path}/s")
