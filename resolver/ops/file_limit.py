"""How many files a process may have open: as many as the system lets it, and as many connections as fit."""

from __future__ import annotations

import resource
from typing import Final

_OTHER_FILES: Final = 200
"""Connections to Redis and Velt, logs, metrics, libraries."""


def raised() -> int:
    """Raise the soft limit to the hard one, for this process and its children. Returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # a sandbox forbids it
        return soft
    return hard


def connections(most: int) -> int:
    """How many connections a process may accept: one more than it has files for would end in errors."""
    files = raised()
    return most if files == resource.RLIM_INFINITY else max(1, min(most, files - _OTHER_FILES))
