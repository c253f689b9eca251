"""What a process and everything it started cost: CPU and memory, read from /proc.

CPU per request is the figure that a busy machine doesn't blur: whoever else runs takes time, but no CPU time
of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
# Of /proc/PID/stat, counted from the state, which follows the name in its parentheses.
_PARENT = 1
_USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM = 11, 12, 13, 14


def tree(roots: Iterable[int]) -> set[int]:
    """These processes and their descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the whole tree. What ended meanwhile is in its parent's account."""
    ticks = 0
    for pid in tree(roots):
        if fields := _stat(pid):
            ticks += sum(int(fields[n]) for n in (_USER, _SYSTEM, _ENDED_USER, _ENDED_SYSTEM))
    return ticks / _TICK


def memory_bytes(roots: Iterable[int]) -> int:
    """Resident memory of the tree; what several of its processes share counts once."""
    return sum(_proportional(pid) for pid in tree(roots))


def _proportional(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    return []
