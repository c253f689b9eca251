"""The end of a listening socket: no new connection begins, and those that have begun are accepted.

When a process closes a listening socket, the kernel resets the connections that were not accepted yet, and
their requests are lost. A load balancer may not send an add a second time. A client whose first packet is
ignored sends it again after a second and is then refused, so that the balancer asks another instance.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

_SO_ATTACH_FILTER = 26
"""Linux's number: the `socket` module doesn't name it."""
_FLAGS, _SYN, _ALL = 13, 0x02, 0xFFFFFFFF
_IGNORE_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, _FLAGS),  # load the byte of the TCP header that holds the flags
        (0x45, 0, 1, _SYN),  # does this packet begin a connection?
        (0x06, 0, 0, 0),  # yes: ignore it
        (0x06, 0, 0, _ALL),  # no: keep it whole
    )
)
"""A classic BPF program, as instructions of (code, jump if true, jump if false, operand)."""


def ignore_new_connections(listeners: Iterable[socket.socket]) -> None:
    """Ignore attempts to connect from now on, also to other processes that share these sockets."""
    program = ctypes.create_string_buffer(_IGNORE_SYN, len(_IGNORE_SYN))
    option = struct.pack("@HP", len(_IGNORE_SYN) // 8, ctypes.addressof(program))
    for listener in listeners:
        # Without it, as on other systems, the last connections may be reset.
        with suppress(OSError):
            if listener.family in {socket.AF_INET, socket.AF_INET6}:
                listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
