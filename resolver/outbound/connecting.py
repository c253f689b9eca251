"""Opens a TCP connection within a deadline: name resolution and every address that is tried included."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from resolver.deadline import Deadline

_LONGEST_SECONDS = 1.0
"""For one address. A packet that was lost is sent again after one second, so that more is no use."""
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
SocketOptions = Sequence[tuple[int, int, int | bytes]]


def connect(host: str, port: int, deadline: Deadline, options: SocketOptions = ()) -> socket.socket:
    """Try the addresses one by one, each for its share of the time that is left: a dead one leaves time for
    the others, and all of them for the exchange itself. Raises OSError or UnicodeError."""
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
    """Look a name up, and wait no longer than the deadline. Raises OSError or UnicodeError."""
    with suppress(socket.gaierror):  # not an address, but a name
        return _addresses(host, port, socket.AI_NUMERICHOST)
    return _look_up(host, port).result(deadline)


def _addresses(host: str, port: int, flags: int = 0) -> Sequence[Address]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


class _LookUp:
    """A call of getaddrinfo, which has no time-out and can't be interrupted, in a thread of its own.

    The thread is a daemon: a process that ends doesn't wait for a name server, as it would for an executor's.
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
            raise type(self._found)(*self._found.args)  # several callers may have waited for this one
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
"""One at a time for each name: a name server that never answers holds no more threads than there are names
in the settings, and other names are looked up meanwhile."""
_lock = threading.Lock()


def _forget() -> None:
    """A child process has none of its parent's threads."""
    global _lock  # noqa: PLW0603 - the parent's may be held for ever here
    _under_way.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _look_up(host: str, port: int) -> _LookUp:
    """The one that is under way, or a new one."""
    with _lock:
        found = _under_way.get((host, port))
        if found is None:
            found = _under_way[host, port] = _LookUp(host, port)
        return found
