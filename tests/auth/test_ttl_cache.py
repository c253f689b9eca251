"""The TTL cache: its limits of size and time, and no answer for another key."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass

import pytest
import time_machine

from resolver.auth.claims import EndUser
from resolver.auth.tokens import Tokens
from resolver.auth.ttl_cache import TTLCache
from resolver.config import TokenSettings
from resolver.config.pem import PublicKey, parse_public_key
from resolver.config.secret import Secret
from resolver.errors import Unauthenticated
from tests.clocks import Clock
from tests.servers import KEYS, pem, signed
from tests.support import TOKEN_SECRET

NEVER = float("inf")


def test_entry_is_returned_until_its_time_is_over() -> None:
    clock = Clock()
    cache = TTLCache[str, int](10, 60, clock)
    cache.put("a", 1, NEVER)
    clock.now += 59
    assert cache.get("a") == 1
    clock.now += 1
    assert cache.get("a") is None


def test_entry_does_not_outlive_its_expiry() -> None:
    cache = TTLCache[str, int](10, 60)
    with time_machine.travel(1_000_000, tick=False) as clock:
        cache.put("a", 1, 1_000_010)
        clock.shift(9)
        assert cache.get("a") == 1
        clock.shift(1)
        assert cache.get("a") is None


def test_cache_evicts_the_oldest_when_full() -> None:
    cache = TTLCache[int, int](3, 60)
    for n in range(5):
        cache.put(n, n, NEVER)
    assert len(cache) == 3
    assert [n for n in range(5) if cache.get(n) is not None] == [2, 3, 4]


def test_token_is_cached_no_longer_than_it_is_valid() -> None:
    tokens = Tokens(TokenSettings(secret=Secret.of(TOKEN_SECRET), leeway=0))
    token = tokens.mint("ben", ["acme"], 60).token
    assert tokens.verify(token) == tokens.verify(token) == EndUser("ben", frozenset({"acme"}))
    with (
        time_machine.travel(datetime.timedelta(seconds=61), tick=False),
        pytest.raises(Unauthenticated),
    ):
        tokens.verify(token)


def test_token_with_another_signature_is_not_cached() -> None:
    tokens = Tokens(TokenSettings(secret=Secret.of(TOKEN_SECRET)))
    token = tokens.mint("ben", ["acme"]).token
    tokens.verify(token)
    with pytest.raises(Unauthenticated):
        tokens.verify(token[:-4] + "AAAA")


@dataclass
class CountedKey:
    """A provider's only key, which counts how often a signature is verified with it."""

    key: PublicKey
    version: int = 0
    found: int = 0

    def find(self, _kid: str | None, _algorithm: str) -> PublicKey | None:
        self.found += 1
        return self.key


def test_number_of_cached_tokens_is_limited() -> None:
    key = CountedKey(parse_public_key(pem(KEYS["EdDSA"])))
    tokens = Tokens(TokenSettings(algorithms=frozenset({"EdDSA"})), provider=key)
    given = {"organizationIds": ["acme"], "exp": int(time.time()) + 300}
    every = [signed(KEYS["EdDSA"], "EdDSA", None, {**given, "sub": f"user-{n}"}) for n in range(4097)]
    for token in every:
        tokens.verify(token)
    assert key.found == 4097
    for token in every[1:]:
        tokens.verify(token)
    assert key.found == 4097
    tokens.verify(every[0])
    assert key.found == 4098
