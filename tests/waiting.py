"""Waiting for a state, instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis import RedisError

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], what: str = "", seconds: float = 30) -> Found:
    """Look again and again until something is there, and return it. A Redis that is away has nothing."""
    gives_up_at = time.monotonic() + seconds
    while True:
        try:
            if there := look():
                return there
        except RedisError:
            pass
        assert time.monotonic() < gives_up_at, f"it never came to this: {what or look}"
        time.sleep(0.02)


def until(condition: Callable[[], object], what: str = "", seconds: float = 30) -> float:
    """Wait until a condition holds, and return how long it took."""
    began = time.monotonic()
    wait_for(condition, what, seconds)
    return time.monotonic() - began
