"""A client's socket: before it keeps its thread waiting, whoever stepped aside in it goes on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from resolver import aside

_NO_WAITING = getattr(socket, "MSG_DONTWAIT", 0)
Given = TypeVar("Given")
Done = TypeVar("Done")


class ClientSocket(socket.socket):
    @classmethod
    def taking_over(cls, accepted: socket.socket) -> ClientSocket:
        return cls(fileno=accepted.detach())

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        return _waiting_last(super().recv, size, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        return _waiting_last(super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        rest = memoryview(data)
        while rest and aside.number():
            rest = rest[self.send(rest, flags) :]
        if rest:
            super().sendall(rest, flags)


def _waiting_last(call: Callable[[Given, int], Done], given: Given, flags: int) -> Done:
    if aside.number():
        with suppress(BlockingIOError):
            return call(given, flags | _NO_WAITING)
        aside.all_go_on()
    return call(given, flags)
