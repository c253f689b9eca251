"""The TTL cache: its limits of size and time, and no answer for another key."""

from __future__ import annotations

import datetime
import time

import pytest
import time_machine

from resolver.auth.claims import EndUser
from resolver.auth.tokens import Tokens
from resolver.auth.ttl_cache import TTLCache
from resolver.config import TokenSettings
from resolver.config.secret import Secret
from resolver.errors import Unauthenticated
from tests.support import TOKEN_SECRET

NEVER = float("inf")


def test_entry_is_returned_until_its_time_is_over() -> None:
    cache = TTLCache[str, int](10, 0.05)
    cache.put("a", 1, NEVER)
    assert cache.get("a") == 1
    time.sleep(0.06)
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


def test_number_of_cached_tokens_is_limited() -> None:
    tokens = Tokens(TokenSettings(secret=Secret.of(TOKEN_SECRET)))
    for n in range(4200):
        tokens.verify(tokens.mint(f"user-{n}", ["acme"]).token)
    assert len(tokens._known) == 4096
