"""The lease for work on all records: one process at a time carries out erasures or finishes deletions.

Such work scans the whole database. Two processes at once would do everything twice.
"""

from __future__ import annotations

from redis import Redis

from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import SCAN_LEASE


class Lease:
    def __init__(self, redis: Redis, guard: Guard) -> None:
        self._guard = guard
        self._acquire, self._release = (
            redis.register_script(read_script("resolver.store", name))
            for name in ("acquire_lease", "release_lease")
        )

    def acquire(self, holder: str, seconds: float) -> bool:
        """Acquire or prolong the lease. False while another process has it."""
        with self._guard:
            return bool(self._acquire(keys=[SCAN_LEASE], args=[holder, int(seconds * 1000)]))

    def release(self, holder: str) -> None:
        """Release the lease, if this process has it."""
        with self._guard:
            self._release(keys=[SCAN_LEASE], args=[holder])
