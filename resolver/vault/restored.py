"""Is this database older than erasures that were certified?

Certificates are kept where a backup of Redis doesn't reach. One that Redis knows nothing of means that an
older Redis came back, and people with it who were erased: nothing is given out until that is mended.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import cast

from redis import Redis

from resolver.errors import VaultRestored, VaultUnavailable
from resolver.vault.keyspace import ORDERS_KNOWN

SUFFIX = ".json"
_TRUSTED_SECONDS = 1.0


class Certificates:
    """Asked before every use of the vault, looked up at most once a second."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._trusted_until = 0.0

    def check(self, redis: Redis) -> None:
        now = time.monotonic()
        if now < self._trusted_until:
            return
        if missing := self.unknown_to(redis):
            what = f"{len(missing)} erasures must be replayed first (resolver privacy replay)"
            raise VaultRestored(f"redis: restored from a backup: {what}")
        self._trusted_until = now + _TRUSTED_SECONDS

    def unknown_to(self, redis: Redis) -> list[str]:
        names = self._names()
        if not names:
            return []
        known = cast(list[int], redis.smismember(ORDERS_KNOWN, names))
        return [name for name, is_known in zip(names, known, strict=True) if not is_known]

    def keep(self, order: str, certificate: bytes) -> bytes:
        """There whole or not at all, and on the disk before anybody is told that it is done. The one that
        counts: a process that was killed after it kept one may have been first."""
        path = self._directory / f"{order}{SUFFIX}"
        if path.exists():
            return path.read_bytes()
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            file.write(certificate)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return certificate

    def _names(self) -> list[str]:
        """A directory that can't be read tells nothing, and might hide what it ought to tell."""
        try:
            found = os.listdir(self._directory)
        except OSError as error:
            raise VaultUnavailable(f"certificates: {type(error).__name__}") from error
        return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
