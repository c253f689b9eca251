"""Detect a database that was restored from a backup older than a certified erasure.

Erasure certificates are kept outside Redis and its backups. If Redis doesn't know a certificate's erasure, an
older backup was restored, with people who were erased: no data is returned until the erasures are replayed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from redis import Redis

from resolver.errors import ErasuresNotReplayed, StoreUnavailable
from resolver.store.keyspace import KNOWN_ERASURES

SUFFIX = ".json"
_TRUSTED_SECONDS = 1.0


class Certificates:
    """Checks the database before every use of Redis; reads at most once a second."""

    def __init__(self, directory: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = Path(directory)
        self._clock = clock
        self._trusted_until = float("-inf")

    def check(self, redis: Redis) -> None:
        now = self._clock()
        if self.are_trusted():
            return
        if missing := self.unknown_to(redis):
            what = f"{len(missing)} of the erasures must be replayed first (resolver privacy replay)"
            raise ErasuresNotReplayed(f"redis: restored from a backup: {what}")
        self._trusted_until = now + _TRUSTED_SECONDS

    def are_trusted(self) -> bool:
        return self._clock() < self._trusted_until

    def unknown_to(self, redis: Redis) -> list[str]:
        names = [path.name.removesuffix(SUFFIX) for path in certificates_in(self._directory)]
        if not names:
            return []
        known = cast(list[int], redis.smismember(KNOWN_ERASURES, [os.fsencode(name) for name in names]))
        return [name for name, is_known in zip(names, known, strict=True) if not is_known]

    def keep(self, erasure: str, certificate: bytes) -> bytes:
        """Write an erasure certificate to disk, atomically and durably, and return the one that counts: a
        process that was killed later may have written one before."""
        path = self._directory / f"{erasure}{SUFFIX}"
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

    def text_of(self, erasure: str) -> bytes | None:
        """Read the erasure certificate of an erasure; None when there is none."""
        try:
            return (self._directory / f"{erasure}{SUFFIX}").read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"certificates: {type(error).__name__}") from error

    def is_kept(self, path: Path) -> bool:
        """Whether a file is in the directory that `check` reads."""
        return path.parent.resolve() == self._directory.resolve()


def certificates_in(directory: Path) -> list[Path]:
    """List the erasure certificates by name, without opening them. Raises StoreUnavailable when the directory
    can't be read: an unread erasure certificate must not pass."""
    try:
        with os.scandir(directory) as found:
            return sorted(Path(entry.path) for entry in found if _may_be_one(entry))
    except OSError as error:
        raise StoreUnavailable(f"certificates: {type(error).__name__}") from error


def _may_be_one(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file named like an erasure certificate, or a broken link, which may have led to
    one."""
    if entry.name.startswith(".") or not entry.name.endswith(SUFFIX):
        return False
    if entry.is_symlink():
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file(follow_symlinks=False)
