"""Waiting for a state, instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis import RedisError

Found = TypeVar("Found")
What = str | Callable[[], object]
"""A description of the state; or a function that returns one, which is called when the time is up."""


def wait_for(look: Callable[[], Found], what: What = "", seconds: float = 30, pause: float = 0.02) -> Found:
    """Look again and again, with pauses, until something is there, and return it. While Redis doesn't answer,
    nothing is there."""
    gives_up_at = time.monotonic() + seconds
    while True:
        try:
            if there := look():
                return there
        except RedisError:
            pass
        if time.monotonic() >= gives_up_at:
            raise AssertionError(f"never seen in {seconds} s: {what() if callable(what) else what or look}")
        time.sleep(pause)


def until(
    condition: Callable[[], object], what: What = "", seconds: float = 30, pause: float = 0.02
) -> float:
    """Wait until a condition holds, and return the seconds that it took."""
    began = time.monotonic()
    wait_for(condition, what, seconds, pause)
    return time.monotonic() - began
