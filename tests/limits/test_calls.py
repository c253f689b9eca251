"""RESOLVER_RATE_LIMIT: so many calls for each person in a window, over all processes; failures by address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from resolver.errors import TooManyCalls
from resolver.limits.failures import MOST_ADDRESSES, Failures
from resolver.settings import RateLimit
from tests.support import BACKEND, Api, keys_of, signed

GET = "/api/velt/notifications/get"
BODY = {"organizationId": "acme", "notificationIds": ["n-1"]}
MakeApi = Callable[..., Api]


def ask(api: Api, user: str = "ben", **claims: Any) -> TestResponse:
    return api.post(GET, BODY, {"authorization": f"Bearer {signed(user, 'acme', **claims)}"})


def statuses(*replies: TestResponse) -> list[int]:
    return [reply.status_code for reply in replies]


def test_by_default_nobody_is_counted(api: Api, redis: Redis) -> None:
    assert statuses(*(ask(api) for _ in range(50))) == [200] * 50
    assert keys_of(redis, "vnr:calls:*") == []


def test_who_calls_too_often_is_told_when_to_come_back(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute", RESOLVER_CORS_ORIGINS="https://app.example.com")
    assert statuses(*(ask(api) for _ in range(3))) == [200] * 3
    token = {"authorization": f"Bearer {signed('ben', 'acme')}", "origin": "https://app.example.com"}
    reply = api.post(GET, BODY, token)
    assert (reply.status_code, reply.get_json()["statusCode"]) == (429, 429)
    assert reply.get_json()["success"] is False
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "retry-after" in reply.headers["access-control-expose-headers"]


def test_everybody_has_their_own_share_and_a_fresh_token_brings_no_other(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    assert statuses(*(ask(api, nonce=n) for n in range(3))) == [200, 200, 429]
    assert statuses(ask(api, "zoe")) == [200]


def test_a_call_that_is_refused_for_its_body_counts_once(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    headers = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    assert statuses(api.post(GET, b"{", headers), ask(api), ask(api)) == [400, 200, 429]


def test_people_of_one_id_in_two_organizations_are_two(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    assert statuses(*(ask(api, "1") for _ in range(3))) == [200, 200, 429]
    elsewhere = {"authorization": f"Bearer {signed('1', 'zeta')}"}
    assert statuses(api.post(GET, BODY, elsewhere)) == [200]


def test_all_processes_count_together(make_api: MakeApi) -> None:
    one, other = (make_api(RESOLVER_RATE_LIMIT="4/hour") for _ in range(2))
    assert statuses(*(ask(api) for api in (one, other, one, other, one, other))) == [200] * 4 + [429] * 2


def test_a_new_window_begins_when_the_old_one_ends(make_api: MakeApi, redis: Redis) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="1/second")
    assert statuses(ask(api), ask(api)) == [200, 429]
    time.sleep(1.1)
    assert keys_of(redis, "vnr:calls:*") == []
    assert statuses(ask(api)) == [200]


def test_calls_at_the_same_time_are_all_counted(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="10/minute")
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(ask(api).status_code)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [200] * 10 + [429] * 10


def test_backends_are_not_counted(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="1/minute")
    assert statuses(*(api.post(GET, BODY, BACKEND) for _ in range(5))) == [200] * 5


def test_the_counter_does_not_say_who_was_counted(make_api: MakeApi, redis: Redis) -> None:
    ask(make_api(RESOLVER_RATE_LIMIT="5/minute"), "somebody@example.com")
    (name,) = keys_of(redis, "vnr:calls:*")
    assert b"somebody" not in name
    assert redis.ttl(name) > 0


def test_failed_credentials_are_counted_by_address_and_ask_nothing_of_redis(
    make_api: MakeApi, redis: Redis
) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute", REDIS_URL="redis://127.0.0.1:1/0")
    wrong = {"authorization": "Bearer nonsense"}
    assert statuses(*(api.post(GET, BODY, wrong) for _ in range(5))) == [401] * 3 + [429] * 2


def test_whoever_shares_an_address_with_an_attacker_is_served(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    for _ in range(10):
        api.post(GET, BODY, {"authorization": "Bearer nonsense"})
    assert statuses(ask(api)) == [200]


def test_an_address_is_what_the_trusted_proxies_say_and_nobody_else(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute", RESOLVER_TRUSTED_PROXIES="1")
    wrong = {"authorization": "Bearer nonsense"}

    def fail(forwarded: str) -> int:
        return api.post(GET, BODY, {**wrong, "x-forwarded-for": forwarded}).status_code

    assert [fail(f"10.0.0.{n}, 192.0.2.1") for n in range(4)] == [401, 401, 429, 429]
    assert fail("192.0.2.1, 192.0.2.2") == 401
    alone = make_api(RESOLVER_RATE_LIMIT="2/minute")
    spoofed = [
        alone.post(GET, BODY, {**wrong, "x-forwarded-for": f"192.0.2.{n}"}).status_code for n in range(4)
    ]
    assert spoofed == [401, 401, 429, 429]


def test_a_network_of_ipv6_is_one_address() -> None:
    failures = Failures(RateLimit(2, 60))
    for n in range(2):
        failures.count(f"2001:db8:0:1::{n}")
    with pytest.raises(TooManyCalls):
        failures.count("2001:db8:0:1:ffff::1")
    failures.count("2001:db8:0:2::1")
    failures.count("::ffff:192.0.2.1")
    failures.count("192.0.2.1")
    with pytest.raises(TooManyCalls):
        failures.count("::ffff:192.0.2.1")


def test_addresses_are_forgotten_before_they_fill_the_memory() -> None:
    failures = Failures(RateLimit(1, 60))
    for n in range(MOST_ADDRESSES + 500):
        failures.count(f"address-{n}")
    assert len(failures) == MOST_ADDRESSES
