"""A clock that a test moves itself, for what would otherwise have to be waited for."""

from __future__ import annotations


class Clock:
    """A monotonic clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now
