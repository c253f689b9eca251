"""A client's socket: before it keeps its thread waiting, whoever stepped aside in it goes on."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from resolver import aside

_NO_WAITING = getattr(socket, "MSG_DONTWAIT", 0)


class ClientSocket(socket.socket):
    @classmethod
    def taking_over(cls, accepted: socket.socket) -> ClientSocket:
        return cls(fileno=accepted.detach())

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if aside.number():
            try:
                return super().recv(size, flags | _NO_WAITING)
            except BlockingIOError:
                aside.all_go_on()
        return super().recv(size, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        if aside.number():
            try:
                return super().send(data, flags | _NO_WAITING)
            except BlockingIOError:
                aside.all_go_on()
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if aside.number():
            rest = memoryview(data)
            with suppress(BlockingIOError):
                rest = rest[super().send(rest, flags | _NO_WAITING) :]
            if not rest:
                return
            aside.all_go_on()
            data = rest
        super().sendall(data, flags)
