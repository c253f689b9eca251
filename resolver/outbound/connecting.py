"""Open a TCP connection within a deadline, including name resolution and all addresses tried."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from resolver.deadline import Deadline

_LONGEST_SECONDS = 1.0
"""For one address. TCP repeats a lost packet only after one second, so waiting longer is useless."""
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
SocketOptions = Sequence[tuple[int, int, int | bytes]]


def connect(host: str, port: int, deadline: Deadline, options: SocketOptions = ()) -> socket.socket:
    """Try the addresses in order, each for its share of the remaining time, so that unreachable ones leave
    time for the others and for the exchange. Raises OSError or UnicodeError."""
    addresses = resolve(host, port, deadline)
    failure: OSError = TimeoutError()
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share = deadline.remaining() / (len(addresses) - tried + 1)
        if share <= 0:
            raise TimeoutError
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(min(share, _LONGEST_SECONDS))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def resolve(host: str, port: int, deadline: Deadline) -> Sequence[Address]:
    """Resolve a name within the deadline. Raises OSError or UnicodeError."""
    with suppress(socket.gaierror):  # it is a name, not an address
        return _addresses(host, port, socket.AI_NUMERICHOST)
    return _look_up(host, port).result(deadline)


def _addresses(host: str, port: int, flags: int = 0) -> Sequence[Address]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


class _LookUp:
    """A call of getaddrinfo in a thread of its own, since it has no time-out and can't be interrupted.

    The thread is a daemon, so that an ending process doesn't wait for a name server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._done = threading.Event()
        self._found: Sequence[Address] | OSError | UnicodeError = ()
        self._of = host, port
        threading.Thread(target=self._run, name=f"look-up of {host}", daemon=True).start()

    def result(self, deadline: Deadline) -> Sequence[Address]:
        if not self._done.wait(max(0.0, deadline.remaining())):
            raise TimeoutError
        if isinstance(self._found, Exception):
            raise type(self._found)(*self._found.args)  # a new one: several callers may share this result
        return self._found

    def _run(self) -> None:
        try:
            self._found = _addresses(*self._of)
        except (OSError, UnicodeError) as error:
            self._found = error
        finally:
            with _lock:
                del _under_way[self._of]
            self._done.set()


_under_way: dict[tuple[str, int], _LookUp] = {}
"""One look-up per name at a time: a name server that never answers blocks at most one thread per name in the
settings, and no other names."""
_lock = threading.Lock()


def _forget() -> None:
    """Start afresh in a child process, which has none of its parent's threads."""
    global _lock  # noqa: PLW0603 - a parent's thread may hold it, which would never release it here
    _under_way.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _look_up(host: str, port: int) -> _LookUp:
    """Return the running look-up of the name, or start one."""
    with _lock:
        found = _under_way.get((host, port))
        if found is None:
            found = _under_way[host, port] = _LookUp(host, port)
        return found
