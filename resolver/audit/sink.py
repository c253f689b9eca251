"""The sink of audit lines: a file, a pipe, or standard output. Writing may block.

Several processes may share it, so lines are written in units that the system doesn't mix with others' writes.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

STANDARD: Final = "-"
_CHECK_SECONDS = 1.0


class Sink:
    """The first write opens it. Not thread-safe."""

    def __init__(self, path: str, standard: int = 1) -> None:
        """`standard`: the file descriptor that `-` stands for. Commands use 2, since 1 has their output."""
        self._path, self._standard = path, standard
        self._fd: int | None = None
        self._is_file = False
        self._checked = 0.0
        self._torn = False

    def write(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines in order. Returns how many were written whole, and the error that prevented the others.

        After a partial line, a newline comes first, so that the next line stands alone."""
        data, written = memoryview(b"".join(lines)), 0
        try:
            fd = self._opened()
            if self._torn:
                os.write(fd, b"\n")
                self._torn = False
            for end in self._ends_of_writes(lines):
                while written < end:
                    written += os.write(fd, data[written:end])
        except OSError as error:
            self._torn = self._torn or data[:written].tobytes()[-1:] not in (b"", b"\n")
            # A line that lacks only its newline counts as whole: the next write adds it.
            return data[: written + 1].tobytes().count(b"\n"), error
        return len(lines), None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _ends_of_writes(self, lines: Sequence[bytes]) -> Iterable[int]:
        """Offsets where each write ends: a write to a file is atomic at any length, to a pipe up to
        PIPE_BUF."""
        return [sum(map(len, lines))] if self._is_file else _ends_of_whole_lines(lines, select.PIPE_BUF)

    def _opened(self) -> int:
        if self._fd is not None and not self._moved():
            return self._fd
        self.close()
        self._fd = _open(self._path, self._standard)
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._torn = self._torn or (self._is_file and _ends_torn(self._path))
        return self._fd

    def _moved(self) -> bool:
        """Whether the file was rotated away; checked once a second."""
        now = time.monotonic()
        if self._path == STANDARD or now - self._checked < _CHECK_SECONDS or self._fd is None:
            return False
        self._checked = now
        try:
            named, ours = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)


def _open(path: str, standard: int) -> int:
    """Open for blocking writes. Opening itself doesn't block: a pipe without a reader raises an error."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    if path != STANDARD:
        fd = os.open(path, flags | os.O_CREAT, 0o640)
    elif _is_reopened(standard):
        fd = os.open(f"/dev/fd/{standard}", flags)
    else:
        return os.dup(standard)
    os.set_blocking(fd, True)
    return fd


def _is_reopened(standard: int) -> bool:
    """Whether to open standard output again: then our setting for blocking doesn't apply to other writers.

    A file isn't opened again, since separate offsets would overwrite each other. A socket, as under systemd,
    can't be opened by name.
    """
    mode = os.fstat(standard).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _ends_of_whole_lines(lines: Iterable[bytes], most: int) -> Iterator[int]:
    """Yield ends of pieces of up to `most` bytes; only a line longer than that is cut."""
    start = end = 0
    for line in lines:
        if end > start and end + len(line) - start > most:
            yield end
            start = end
        end += len(line)
    yield end


def _ends_torn(path: str) -> bool:
    """Whether the last line is partial: a process died while writing it."""
    if path == STANDARD:
        return False
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")
