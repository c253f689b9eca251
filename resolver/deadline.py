"""How much time a request has left. Made once at the surface, then handed down as a value."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from resolver.errors import Unavailable
from resolver.watchdog import TimeLimit


@dataclass(frozen=True, slots=True)
class Deadline:
    """Monotonic, so that a host's clock being set never shortens or stretches a request."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        return self.at - time.monotonic()

    def keeping(self, seconds: float) -> Deadline:
        """An earlier one, so that some time is left for what comes after."""
        return Deadline(self.at - seconds)

    def at_most(self, seconds: float) -> Deadline:
        """This one, or so long from now when that is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def enforced(self) -> TimeLimit:
        """Bound a block that waits on a socket of its own by ending that socket: see TimeLimit.

            with deadline.enforced() as limit:
                limit.ends(connection.shutdown)

        The time-outs of a socket begin anew with each system call, and don't add up to a total.
        """
        return TimeLimit(self.at)

    def require(self, seconds: float) -> None:
        """Better no answer now than one that comes too late."""
        if self.remaining() < seconds:
            raise Unavailable()


CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""Of the request that this thread is serving; None in commands, which take the time they need. For the vault
and the trail, whose every step would otherwise carry it: what calls Velt is handed its deadline."""


@contextmanager
def unhurried() -> Iterator[None]:
    """For what must be written down however late it is: that Velt was told, or said no."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)
