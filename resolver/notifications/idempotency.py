"""Idempotency keys: the same key of the same caller names the same notification.

An id is derived from the caller's name, the organization and the key with a random secret, so it can't be
guessed and tells nothing. The secret is made once and kept sealed in Redis. It depends on no other key, so
neither a new master key nor a new lookup key changes an id.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import Counter
from typing import Any, NamedTuple, cast

import orjson
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import StoreUnavailable, Unreadable
from resolver.store.guard import Guard
from resolver.store.keyspace import IDEMPOTENCY
from resolver.store.replicated import compare_and_set

_SECRET_BYTES = 32
_ID_BYTES = 18
"""As many random bits as an id that is minted has."""


class Identified(NamedTuple):
    notification: str
    """The id of the notification that the request adds."""
    request: str
    """Digest of the request's data: equal data has the same one, whatever the order of its keys."""


class IdempotencyKeys:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope

    def identify(self, caller: str, organization: str, key: str, data: Any) -> Identified:
        # Read each time: a process that remembered the secret would go on with it after Redis lost it, and
        # would give a key another id than the processes that made a new one.
        secret = self._read() or self._made()
        made = _digest(secret, b"notification", [caller, organization, key])[:_ID_BYTES]
        request = _digest(secret, b"request", data).hex()
        return Identified(base64.urlsafe_b64encode(made).decode(), request)

    def reseal(self) -> None:
        """Put the secret under the master key that seals now, unless another process was quicker."""
        sealed = self._stored()
        if sealed and not self._envelope.is_fresh(sealed):
            fresh = self._envelope.reseal(IDEMPOTENCY, sealed)
            with self._guard:
                compare_and_set(self._redis, IDEMPOTENCY, sealed, fresh)

    def key_ids(self) -> Counter[str]:
        """Under which master key the secret is; empty when it wasn't made yet."""
        sealed = self._stored()
        return Counter([key_id_of(sealed)] if sealed else [])

    def _made(self) -> bytes:
        fresh = self._envelope.seal(IDEMPOTENCY, secrets.token_bytes(_SECRET_BYTES))
        with self._guard:
            self._redis.set(IDEMPOTENCY, fresh, nx=True)
        # Read again: of several processes that made one, the first one's counts.
        if (kept := self._read()) is None:
            raise StoreUnavailable("redis: the secret of idempotency keys was not kept")
        return kept

    def _read(self) -> bytes | None:
        sealed = self._stored()
        if sealed is None:
            return None
        try:
            return self._envelope.open(IDEMPOTENCY, sealed)
        except Unreadable:
            # Another secret would give the same keys other ids: refuse instead.
            raise StoreUnavailable("the secret of idempotency keys does not open with these keys") from None

    def _stored(self) -> bytes | None:
        with self._guard:
            return cast(bytes | None, self._redis.get(IDEMPOTENCY))


def _digest(secret: bytes, purpose: bytes, value: Any) -> bytes:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, key=secret, digest_size=32, person=purpose).digest()
