"""RESOLVER_RATE_LIMIT: calls of each person in a window, over all processes, and failures by address."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from resolver.auth.rate_limits import MAX_ADDRESSES, Failures
from resolver.config import RateLimit
from resolver.errors import TooManyCalls
from tests.support import BACKEND, Api, keys_of, signed
from tests.waiting import until

GET = "/api/velt/notifications/get"
BODY = {"organizationId": "acme", "notificationIds": ["n-1"]}
MakeApi = Callable[..., Api]


def ask(api: Api, user: str = "ben", **claims: Any) -> TestResponse:
    return api.post(GET, BODY, {"authorization": f"Bearer {signed(user, 'acme', **claims)}"})


def statuses(*replies: TestResponse) -> list[int]:
    return [reply.status_code for reply in replies]


def test_calls_are_not_counted_by_default(api: Api, redis: Redis) -> None:
    assert statuses(*(ask(api) for _ in range(50))) == [200] * 50
    assert keys_of(redis, "vnr:calls:*") == []


def test_caller_over_the_limit_gets_a_retry_after(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute", RESOLVER_CORS_ORIGINS="https://app.example.com")
    assert statuses(*(ask(api) for _ in range(3))) == [200] * 3
    token = {"authorization": f"Bearer {signed('ben', 'acme')}", "origin": "https://app.example.com"}
    reply = api.post(GET, BODY, token)
    assert (reply.status_code, reply.get_json()["statusCode"]) == (429, 429)
    assert reply.get_json()["success"] is False
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "retry-after" in reply.headers["access-control-expose-headers"]


@pytest.mark.single_server
def test_reads_go_on_uncounted_while_redis_is_full(make_api: MakeApi, redis: Redis) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    api.add()
    redis.config_set("maxmemory", "1mb")
    try:
        replies = [ask(api) for _ in range(5)]
    finally:
        redis.config_set("maxmemory", "0")
    assert statuses(*replies) == [200] * 5
    assert all(reply.get_json()["data"].keys() == {"n-1"} for reply in replies)
    assert statuses(*(ask(api) for _ in range(4))) == [200, 200, 200, 429]


def test_each_person_has_one_budget_for_all_their_tokens(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    assert statuses(*(ask(api, nonce=n) for n in range(3))) == [200, 200, 429]
    assert statuses(ask(api, "zoe")) == [200]


def test_call_with_an_invalid_body_counts_once(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    headers = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    assert statuses(api.post(GET, b"{", headers), ask(api), ask(api)) == [400, 200, 429]


def test_people_with_one_id_in_two_organizations_have_separate_budgets(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    assert statuses(*(ask(api, "1") for _ in range(3))) == [200, 200, 429]
    elsewhere = {"authorization": f"Bearer {signed('1', 'zeta')}"}
    assert statuses(api.post(GET, BODY, elsewhere)) == [200]


def named(api: Api, organization: str, *organizations: str) -> int:
    """A read in one organization, with a token for these."""
    bearer = {"authorization": f"Bearer {signed('ben', *organizations)}"}
    return api.post(GET, {**BODY, "organizationId": organization}, bearer).status_code


def test_budget_in_an_organization_is_the_same_for_all_tokens(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    assert [named(api, "a", *token) for token in ("a", "ab", "abc", "ac", "a")] == [200] * 3 + [429] * 2
    assert [named(api, "b", *token) for token in ("b", "ab", "abc", "b")] == [200] * 3 + [429]


def test_naming_other_organizations_brings_no_fresh_budget(make_api: MakeApi, redis: Redis) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    assert [named(api, f"other-{n}", *token) for n, token in enumerate(("a", "ab", "b", "a", "abc"))] == (
        [200] * 3 + [429] * 2
    )
    assert len(keys_of(redis, "vnr:calls:*")) == 1
    assert named(api, "a", "a") == 200


def test_calls_without_an_organization_count_in_the_tokens_only_one(make_api: MakeApi, redis: Redis) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    bearer = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    for body in ({"notificationIds": ["n-1"]}, {"organizationId": "acme"}, {"metadata": 7}):
        assert api.post(GET, body, bearer).status_code == 200
    assert len(keys_of(redis, "vnr:calls:*")) == 1
    assert api.post(GET, BODY, bearer).status_code == 429


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("get", b'{"organizationId":"acme","notificationIds":["n-1"]}'),
        ("get", b'{"organizationId":"acme","notificationIds":[]}'),
        ("get", b'{"organizationId":"acme","notificationIds":7}'),
        ("get", b'{"organizationId":7}'),
        ("get", b"{"),
        ("get", b""),
        ("get", b" " * 1_100_000),
        ("delete", b'{"organizationId":"acme","notificationId":"n-1"}'),
        ("delete", b'{"organizationId":"acme"}'),
        ("delete", b"{"),
    ],
)
def test_each_call_counts_once_over_the_limit_too(
    make_api: MakeApi, redis: Redis, action: str, body: bytes, content_type: str
) -> None:
    """This holds on the hot-path router and on Flask's, for answers and for refusals."""
    api = make_api(RESOLVER_RATE_LIMIT="2/minute")
    headers = {"authorization": f"Bearer {signed('ben', 'acme')}", "content-type": content_type}
    replies = [api.post(f"/api/velt/notifications/{action}", body, headers) for _ in range(4)]
    assert [reply.status_code == 429 for reply in replies] == [False, False, True, True]
    (counter,) = keys_of(redis, "vnr:calls:*")
    assert redis.get(counter) == b"4"


def test_all_processes_count_together(make_api: MakeApi) -> None:
    one, other = (make_api(RESOLVER_RATE_LIMIT="4/hour") for _ in range(2))
    assert statuses(*(ask(api) for api in (one, other, one, other, one, other))) == [200] * 4 + [429] * 2


def test_a_new_window_begins_when_the_old_one_ends(make_api: MakeApi, redis: Redis) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="1/second")
    assert statuses(ask(api), ask(api)) == [200, 429]
    until(lambda: keys_of(redis, "vnr:calls:*") == [], "the window has ended", seconds=5)
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


def test_counter_name_does_not_reveal_the_person(make_api: MakeApi, redis: Redis) -> None:
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


METRICS, PRIVACY = "metrics-token-for-tests-0123456789abcdef", "privacy-token-for-tests-0123456789abcdef"
WITH_ALL = {
    "RESOLVER_RATE_LIMIT": "3/minute",
    "RESOLVER_METRICS_TOKEN": METRICS,
    "RESOLVER_PRIVACY_TOKENS": f"dpo:{PRIVACY}",
}
SURFACES: dict[str, tuple[str, str, dict[str, str]]] = {
    "mirror": ("POST", "/v2/notifications/get", BACKEND),
    "a forwarded endpoint": ("POST", "/v2/notifications/config/get", BACKEND),
    "token": ("POST", "/api/velt/token", BACKEND),
    "revoke": ("POST", "/api/velt/token/revoke", BACKEND),
    "privacy": ("POST", "/privacy/export", {"authorization": f"Bearer {PRIVACY}"}),
    "metrics": ("GET", "/metrics", {"authorization": f"Bearer {METRICS}"}),
    "callback": ("POST", GET, {"authorization": f"Bearer {signed('ben', 'acme')}"}),
    "delete": ("POST", "/api/velt/notifications/delete", BACKEND),
}


@pytest.mark.parametrize("name", SURFACES)
def test_failed_credentials_are_counted_on_every_surface(make_api: MakeApi, name: str) -> None:
    api = make_api(**WITH_ALL)
    method, path, right = SURFACES[name]
    wrong = {header: f"{value} but wrong" for header, value in right.items()}
    for headers, usual in (({}, {401}), (wrong, {401, 403})):
        api = make_api(**WITH_ALL)
        replies = [api.client.open(path, method=method, json={}, headers=headers) for _ in range(5)]
        assert {reply.status_code for reply in replies[:3]} <= usual
        assert statuses(*replies[3:]) == [429, 429]
        assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in replies[3:])
        served = api.client.open(path, method=method, json={}, headers=right)
        assert served.status_code in (200, 400), "a credential that holds is served"


def test_an_address_has_one_share_of_failures_over_all_surfaces(make_api: MakeApi) -> None:
    api = make_api(**WITH_ALL)
    seen = [api.client.open(path, method=method, json={}) for method, path, _ in SURFACES.values()]
    assert statuses(*seen) == [401] * 3 + [429] * (len(SURFACES) - 3)


def test_failures_are_not_counted_by_default_nor_where_a_surface_is_closed(make_api: MakeApi) -> None:
    api = make_api()
    assert statuses(*(api.post("/v2/notifications/get", {}, {}) for _ in range(50))) == [401] * 50
    closed = make_api(RESOLVER_RATE_LIMIT="1/minute")
    assert statuses(*(closed.post("/privacy/export", {}, {}) for _ in range(5))) == [404] * 5


def test_valid_credential_is_served_from_an_address_over_the_limit(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="3/minute")
    for _ in range(10):
        api.post(GET, BODY, {"authorization": "Bearer nonsense"})
    assert statuses(ask(api)) == [200]


def test_address_is_taken_only_from_trusted_proxies(make_api: MakeApi) -> None:
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
    for n in range(MAX_ADDRESSES + 500):
        failures.count(f"address-{n}")
    assert len(failures) == MAX_ADDRESSES
