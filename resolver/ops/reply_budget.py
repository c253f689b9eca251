"""A byte budget for the replies that this process is building or sending.

A client that requests much and reads nothing keeps its reply in memory until its connection ends. So the
bytes of sealed records are counted as they arrive from Redis, and released when the reply is sent. A sealed
record is freed when it is opened, and a large reply is joined while it is sent, so a reply is in memory
about once.

| pool  | for replies     | in all | per person    |
| small | up to 256 KiB   | 16 MiB | 4 MiB         |
| large | of any size     | 64 MiB | 40 MiB        |

A reply is in one pool. A small reply tries the small pool first, so that large replies don't block small
ones. A person's share of the large pool fits the largest possible reply: 1,000 records of 32 KiB.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final

from resolver.errors import Overloaded

_MIB = 1024 * 1024
SMALL_REPLY: Final = 256 * 1024


class ReplyBudget:
    """The budget of one process."""

    def __init__(self) -> None:
        self.small = Pool("small", 16 * _MIB, 4 * _MIB)
        self.large = Pool("large", 64 * _MIB, 40 * _MIB)


class Pool:
    """Bytes that replies hold, in all and per person."""

    def __init__(self, name: str, most: int, most_of_one: int) -> None:
        self.name = name
        self.held = 0
        self._most = most
        self._most_of_one = most_of_one
        self._by_person: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def take(self, person: Hashable, size: int) -> bool:
        """Take bytes if there is room, in all and for this person. Return whether there was."""
        with self._lock:
            own = self._by_person.get(person, 0) + size
            if own > self._most_of_one or self.held + size > self._most:
                return False
            self.held += size
            self._by_person[person] = own
            return True

    def release(self, person: Hashable, size: int) -> None:
        with self._lock:
            self.held -= size
            own = self._by_person.pop(person) - size
            if own:
                self._by_person[person] = own


class Reservation:
    """The bytes that one reply holds, from its first record until it is sent. Starts empty."""

    __slots__ = ("_budget", "_person", "_pool", "size")

    def __init__(self, budget: ReplyBudget) -> None:
        self._budget = budget
        self._person: Hashable = None
        self._pool = budget.small
        self.size = 0

    def admit_for(self, person: Hashable) -> Callable[[int], None]:
        """Return a function that reserves further bytes for a reply to this person."""
        self._person = person
        return self._admit

    def shrink(self, size: int) -> None:
        """Release all but `size` bytes: some of what was read isn't in the reply."""
        if self.size > size:
            self._pool.release(self._person, self.size - size)
            self.size = size

    def release(self) -> None:
        """Release everything. A second call does nothing."""
        if self.size:
            size, self.size = self.size, 0
            self._pool.release(self._person, size)

    def _admit(self, size: int) -> None:
        """Reserve `size` more bytes. Raises Overloaded if there is no room."""
        if not size:
            return
        pool, grown = self._pool, self.size + size
        is_small = grown <= SMALL_REPLY
        if (pool is self._budget.large or is_small) and pool.take(self._person, size):
            self.size = grown
        elif pool is self._budget.small and self._budget.large.take(self._person, grown):
            self.release()
            self._pool, self.size = self._budget.large, grown
        else:
            what = "small" if is_small else "large"
            raise Overloaded(f"no memory for a {what} reply", what)
