"""Whose request is being read, and since when: who takes too long over one is cut off.

A thread that waits for a socket can't be told to stop. The socket can be made to end: what was sent until
then is all there is, and is answered as that.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Sending:
    since: float
    request: Any = None
    """Once its headers are there."""

    def is_over(self) -> bool:
        reader = self.request and self.request.body.reader
        if reader is None:
            return False
        # gunicorn's readers: of a body whose length was said, or in chunks.
        return not (getattr(reader, "length", 0) or getattr(reader, "parser", None))


class SlowSenders:
    def __init__(self) -> None:
        self._sending: dict[Any, _Sending] = {}

    def begin(self, conn: Any) -> None:
        self._sending[conn] = _Sending(time.monotonic())

    def heard(self, conn: Any, request: Any) -> None:
        """The headers; its body may be read later."""
        self._sending[conn].request = request

    def end(self, conn: Any) -> None:
        del self._sending[conn]

    def cut_off(self, seconds: float) -> None:
        """Those that have been sending one request for so long. Any thread may ask."""
        before = time.monotonic() - seconds
        for conn, sending in list(self._sending.items()):
            if sending.since <= before and not sending.is_over():
                with suppress(OSError):
                    # Of a socket with TLS too: what it would do itself is not for another thread to do.
                    socket.socket.shutdown(conn.sock, socket.SHUT_RD)
