"""How much time a request has left. Made once at the surface, then handed down as a value."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from resolver.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Deadline:
    """Monotonic, so that a host's clock being set never shortens or stretches a request."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        return self.at - time.monotonic()

    def check(self) -> None:
        if self.remaining() <= 0:
            raise Unavailable()
