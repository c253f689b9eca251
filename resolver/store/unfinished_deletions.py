"""Deletions without ids that have begun. They are sealed: their filters name people and documents.

Velt names what it deleted once only. So a deletion is noted before Velt is asked, and forgotten when its
content is removed here. One that is still noted after its request's time was interrupted, and is finished by
a worker.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import orjson
import structlog
from msgspec import Struct, ValidationError, convert
from msgspec.structs import asdict
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import Unreadable
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import UNFINISHED_DELETIONS, decoded

CLOCK_MARGIN_MS = 15_000
"""Hosts' clocks may differ by this much: none finishes a deletion whose request may still run."""
_log = structlog.get_logger(__name__)


class UnfinishedDeletion(Struct, frozen=True):
    filters: dict[str, Any]
    caller: str
    request: str
    """Id of the caller's request, as in its line of the audit trail."""
    asked: int
    """Epoch milliseconds. What was added later isn't meant."""
    due: int
    """When its request has certainly ended."""


class UnfinishedDeletions:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope
        self._note, self._replace = (
            redis.register_script(read_script("resolver.store", name))
            for name in ("note_deletion", "replace_field")
        )
        self._unreadable: set[str] = set()
        """Ids that were logged."""

    def note(self, id_: str, deletion: UnfinishedDeletion) -> None:
        with self._guard:
            self._note([UNFINISHED_DELETIONS], [id_, self._sealed(id_, deletion)])

    def forget(self, id_: str) -> None:
        with self._guard:
            self._redis.hdel(UNFINISHED_DELETIONS, id_)

    def due(self, now: int) -> dict[str, UnfinishedDeletion]:
        """Return those whose request has ended, by id."""
        return {id_: deletion for id_, deletion in self.all().items() if deletion.due <= now}

    def all(self) -> dict[str, UnfinishedDeletion]:
        """Return all by id. One that can't be decrypted is logged, and kept for the key that opens it."""
        opened = ((id_, self._opened(id_, sealed)) for id_, sealed in self._all().items())
        return {id_: deletion for id_, deletion in opened if deletion}

    def key_ids(self) -> Counter[str]:
        """Count them by the master key that sealed them."""
        return Counter(map(key_id_of, self._all().values()))

    def reseal(self) -> None:
        """Seal them again under the current master key, except those that are forgotten meanwhile."""
        for id_, sealed in self._all().items():
            if not self._envelope.is_fresh(sealed) and (deletion := self._opened(id_, sealed)):
                with self._guard:
                    self._replace([UNFINISHED_DELETIONS], [id_, sealed, self._sealed(id_, deletion)])

    def _all(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(UNFINISHED_DELETIONS))
        return {id_: found[id_.encode()] for id_ in decoded(found)}

    def _sealed(self, id_: str, deletion: UnfinishedDeletion) -> bytes:
        return self._envelope.seal(_name(id_), orjson.dumps(asdict(deletion)))

    def _opened(self, id_: str, sealed: bytes) -> UnfinishedDeletion | None:
        try:
            opened = orjson.loads(self._envelope.open(_name(id_), sealed))
            return convert(opened, UnfinishedDeletion)
        except (Unreadable, orjson.JSONDecodeError, ValidationError):
            if id_ not in self._unreadable:
                _log.error("deletion_unreadable", deletion=id_)
            self._unreadable.add(id_)
            return None


def _name(id_: str) -> str:
    """The name a value is sealed under, so that a value moved elsewhere doesn't open."""
    return f"{UNFINISHED_DELETIONS}:{id_}"
