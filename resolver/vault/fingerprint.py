"""Is this the database that our keys were made for?

The first process to reach an empty database writes a fingerprint of the index key and the partition count.
A process that disagrees (a wrong key, a restored backup of another deployment) would find nothing and store
what nobody else finds: it answers "unavailable" until one of the two is mended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from redis import Redis

from resolver.errors import VaultForeign
from resolver.vault.cluster import primaries
from resolver.vault.keyspace import FINGERPRINT_KEY, RECORD_PATTERN, Keyspace

# Versions of the schema this code can read, and the one it writes. Version N reads N-1, so that both can
# run side by side during a rolling upgrade.
_READABLE = range(1, 2)
_WRITTEN = 1
_TRUSTED_SECONDS = 1.0
_LOOK_AT = 1000


def claim_text(fingerprint: str) -> str:
    """What is written into a database that has this fingerprint."""
    return f"{_WRITTEN}:{fingerprint}"


class Fingerprint:
    """Asked before every use of the vault, looked up at most once a second."""

    def __init__(self, redis: Redis, keyspace: Keyspace, is_ours: Callable[[str], bool]) -> None:
        self._redis = redis
        self._own = keyspace.fingerprint()
        self._trusted_until = 0.0
        self._is_ours = is_ours

    def check(self) -> None:
        now = time.monotonic()
        if now < self._trusted_until:
            return
        found = self._found()
        schema, _, keys = (
            (self._claim() if found is None else found).decode("ascii", "replace").partition(":")
        )
        if keys != self._own:
            raise VaultForeign("the Redis database belongs to another index key or partition count")
        if not schema.isdigit() or int(schema) not in _READABLE:
            raise VaultForeign("the Redis database has a schema that this version cannot read")
        self._trusted_until = now + _TRUSTED_SECONDS

    def _claim(self) -> bytes:
        """Only where no record is, or one that is there proves to be ours: a fingerprint can get lost."""
        name = self._some_record()
        if name and not self._is_ours(name):
            raise VaultForeign("the Redis database holds records made with other keys, and no fingerprint")
        mine = claim_text(self._own).encode()
        self._redis.set(FINGERPRINT_KEY, mine, nx=True)
        # Read again: two processes may have raced here, and only one of them wrote.
        return self._found() or mine

    def _some_record(self) -> str:
        for server in primaries(self._redis):
            _, names = server.scan(0, match=RECORD_PATTERN, count=_LOOK_AT)
            if names:
                return cast(bytes, names[0]).decode()
        return ""

    def _found(self) -> bytes | None:
        return cast(bytes | None, self._redis.get(FINGERPRINT_KEY))
