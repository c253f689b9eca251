"""Long loops that leave time for the rest of their process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_SLICE_SECONDS = 0.005
# Not zero: after that, gevent may go on with the same greenlet before it has looked at any socket.
_PAUSE_SECONDS = 1e-6
_Item = TypeVar("_Item")


def in_time_slices(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items, with the shortest pause every few milliseconds: under gevent, a loop that waits for
    nothing keeps all other greenlets from running."""
    began = time.monotonic()
    for item in items:
        if time.monotonic() - began > _SLICE_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
        yield item
