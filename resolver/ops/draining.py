"""Whether this deployment of processes is about to stop: the master says so, every process it forked sees it.

    running ─TERM→ draining: /readyz is red, replies close their connections ─RESOLVER_DRAIN_SECONDS→ stopping

A balancer needs that while to notice; one that reuses an idle connection just then must not find it closed.
"""

from __future__ import annotations

import mmap

# One byte of memory that children share with the process that imported this before it forked.
_shared = mmap.mmap(-1, 1)


def begin() -> None:
    _shared[0] = 1


def is_under_way() -> bool:
    return _shared[0] == 1
