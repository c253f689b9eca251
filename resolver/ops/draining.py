"""Whether the processes are draining. The master sets it; all processes that it forked see it.

    running ─TERM→ draining: /readyz is 503, replies close their connections ─RESOLVER_DRAIN_SECONDS→ stopping

A load balancer needs this time to notice; until then it may reuse an idle connection, which must be open.
"""

from __future__ import annotations

import mmap

# One byte of memory, shared with child processes that are forked after this import.
_shared = mmap.mmap(-1, 1)


def begin() -> None:
    _shared[0] = 1


def is_under_way() -> bool:
    return _shared[0] == 1
