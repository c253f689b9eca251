"""Processes as the system shows them in /proc, and a process that is suspended for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import until

IDLE_WINDOW_SECONDS = 0.2
IDLE_SHARE = 0.25
"""The system counts CPU time in hundredths of a second, and an idle process may use a few in the window."""


def children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


def threads_of(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(pid: int, seconds: float) -> float:
    """Watch a process for so long, and return the share of one core that it used."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def wait_until_idle(pid: int, seconds: float = 30) -> None:
    """Wait until a process has started, or has done what it was asked for, and has nothing left to do."""
    until(lambda: cpu_share(pid, IDLE_WINDOW_SECONDS) < IDLE_SHARE, f"process {pid} idle", seconds)


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def command_of(pid: int) -> str:
    """The arguments of a process, with spaces between them; an empty string when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def web_processes_of(master: int) -> list[int]:
    return [pid for pid in children_of(master) if "gunicorn" in command_of(pid)]


def workers_of(master: int) -> list[int]:
    """The embedded workers: one, except between an end and a start."""
    return [pid for pid in children_of(master) if "resolver worker" in command_of(pid)]


def is_running(pid: int) -> bool:
    """Whether a process runs. A zombie, whose parent has not collected it yet, doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
