"""Idempotency keys: the same key of the same caller names the same notification.

An id is a keyed digest of the caller's name, the organization and the key, so it can't be guessed or
reversed. The digest's random secret is made once and kept sealed in Redis. It depends on no other key, so
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
from resolver.store.cluster import compare_and_set
from resolver.store.guard import Guard
from resolver.store.keyspace import IDEMPOTENCY

_SECRET_BYTES = 32
_ID_BYTES = 18
"""As in a minted id."""


class Identified(NamedTuple):
    notification: str
    """The id of the notification that the request adds."""
    request: str
    """Digest of the request's data; the order of keys doesn't change it."""


class IdempotencyKeys:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope

    def identify(self, caller: str, organization: str, key: str, data: Any) -> Identified:
        # Read each time: if Redis loses the secret, a process with a cached one would derive other ids than
        # the processes that made a new one.
        secret = self._read() or self._create()
        made = _digest(secret, b"notification", [caller, organization, key])[:_ID_BYTES]
        request = _digest(secret, b"request", data).hex()
        return Identified(base64.urlsafe_b64encode(made).decode(), request)

    def reseal(self) -> None:
        """Reseal the secret under the first master key, unless another process has written it."""
        sealed = self._stored()
        if sealed and not self._envelope.is_fresh(sealed):
            fresh = self._envelope.reseal(IDEMPOTENCY, sealed)
            with self._guard:
                compare_and_set(self._redis, IDEMPOTENCY, sealed, fresh)

    def key_ids(self) -> Counter[str]:
        """Count the secret's master key; empty when there is no secret yet."""
        sealed = self._stored()
        return Counter([key_id_of(sealed)] if sealed else [])

    def _create(self) -> bytes:
        fresh = self._envelope.seal(IDEMPOTENCY, secrets.token_bytes(_SECRET_BYTES))
        with self._guard:
            self._redis.set(IDEMPOTENCY, fresh, nx=True)
        # Read again: another process may have stored its own first.
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
            # With a new secret, the same keys would get other ids: fail instead.
            raise StoreUnavailable("the secret of idempotency keys does not open with these keys") from None

    def _stored(self) -> bytes | None:
        with self._guard:
            return cast(bytes | None, self._redis.get(IDEMPOTENCY))


def _digest(secret: bytes, purpose: bytes, value: Any) -> bytes:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, key=secret, digest_size=32, person=purpose).digest()
