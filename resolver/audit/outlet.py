"""Where lines go: a file, or standard output. Nobody waits longer than they said, whoever reads.

A pipe is opened anew for itself, so that not waiting on it is our setting alone, and not everybody's who
writes to it. Lines fit into one write that the system doesn't mix with another process's.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from typing import Final

STANDARD: Final = "-"
_LOOK_SECONDS = 1.0


class Outlet:
    """Not for several threads at once: whoever holds the chain holds this."""

    def __init__(self, path: str, standard: int = 1) -> None:
        """`standard` is what `-` means: a command's own output goes to 1, so its trail goes to 2."""
        self._path, self._standard = path, standard
        self._fd: int | None = None
        self._socket: socket.socket | None = None
        self._looked = 0.0
        self._torn = False

    def write(self, line: bytes, until: float) -> None:
        """The whole line by `until` (monotonic), or OSError. What was cut off half-way is ended with a
        newline before the next, so that it spoils no other line."""
        fd = self._opened()
        rest = b"\n" + line if self._torn else line
        while rest:
            try:
                written = self._some(fd, rest)
            except BlockingIOError:
                self._wait(fd, until)
                continue
            rest = rest[written:]
            self._torn = bool(rest)

    def close(self) -> None:
        if self._socket:
            self._socket.detach()
            self._socket = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _some(self, fd: int, rest: bytes) -> int:
        return self._socket.send(rest, socket.MSG_DONTWAIT) if self._socket else os.write(fd, rest)

    def _wait(self, fd: int, until: float) -> None:
        left = until - time.monotonic()
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError("nobody reads the audit trail")

    def _opened(self) -> int:
        if self._fd is not None and not self._moved():
            return self._fd
        self.close()
        self._fd = _open(self._path, self._standard)
        if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
            self._socket = socket.socket(fileno=self._fd)
        self._torn = self._torn or _ends_torn(self._fd, self._path)
        return self._fd

    def _moved(self) -> bool:
        """Whether the file was rotated away. Looked at once a second."""
        now = time.monotonic()
        if self._path == STANDARD or now - self._looked < _LOOK_SECONDS or self._fd is None:
            return False
        self._looked = now
        try:
            named, ours = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)


def _open(path: str, standard: int) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    if path != STANDARD:
        return os.open(path, flags | os.O_CREAT, 0o640)
    # A file is shared with whoever else writes to it: at a place of our own we would write over each other.
    # A socket, as under systemd, can't be opened by name.
    mode = os.fstat(standard).st_mode
    own = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return os.open(f"/dev/fd/{standard}", flags) if own else os.dup(standard)


def _ends_torn(fd: int, path: str) -> bool:
    """Whether a process died in the middle of the last line."""
    if path == STANDARD or not stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")
