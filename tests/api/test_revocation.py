"""A revoked token is refused from the next call on, in every process; damage or an outage revokes no
token."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from resolver.config import load
from resolver.store.keyspace import RECORD_PATTERN, REVOCATION_PATTERN
from resolver.store.revocations import Mark
from resolver.wiring import Stores, build_stores
from tests.support import BACKEND, Api, error_of, everything_in, figures_in, keys_of, signed, stored

MakeApi = Callable[..., Api]
REVOKE = "/api/velt/token/revoke"
GET, DELETE = "/api/velt/notifications/get", "/api/velt/notifications/delete"
EMPTY = {"data": {}, "success": True, "statusCode": 200}
UNAUTHENTICATED = {"success": False, "statusCode": 401, "message": "A valid credential is required."}


def revoke(api: Api, user: str = "ben", **more: Any) -> TestResponse:
    reply = api.post(REVOKE, {"userId": user, **more})
    assert reply.status_code == 200, reply.data
    return reply


def ask(api: Api, token: str, organization: str = "acme", ids: list[str] | None = None) -> TestResponse:
    body = {"organizationId": organization, "notificationIds": ["n-1"] if ids is None else ids}
    return api.post(GET, body, {"authorization": f"Bearer {token}"})


def delete(api: Api, token: str, organization: str = "acme") -> TestResponse:
    body = {"organizationId": organization, "notificationId": "n-1"}
    return api.post(DELETE, body, {"authorization": f"Bearer {token}"})


def is_read(api: Api, token: str, organization: str = "acme") -> bool:
    reply = ask(api, token, organization)
    return reply.status_code == 200 and "n-1" in reply.get_json()["data"]


def now() -> int:
    return int(time.time())


@pytest.fixture
def stores(api: Api, resolver_environment: dict[str, str]) -> Stores:
    return build_stores(load(resolver_environment))


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    api = make_api(RESOLVER_METRICS_TOKEN="metrics-token-for-tests-0123456789abcdef")
    for organization in ("acme", "zeta"):
        api.add(organizationId=organization)
    return api


def test_a_revoked_token_opens_nothing_with_the_next_call_in_any_process(api: Api, make_api: MakeApi) -> None:
    other, token = make_api(), signed("ben", "acme", "zeta", iat=now())
    assert is_read(api, token)
    assert is_read(other, token, "zeta")
    reply = revoke(api)
    assert abs(reply.get_json()["revokedAt"] - time.time()) < 5
    for instance in (api, other):
        for organization in ("acme", "zeta", "not theirs"):
            for refused in (
                ask(instance, token, organization),
                ask(instance, token, organization, []),
                delete(instance, token, organization),
            ):
                assert (refused.status_code, refused.get_json()) == (401, UNAUTHENTICATED)
    assert is_read(api, signed("ana", "acme", iat=now())), "another person's is untouched"
    assert is_read(api, signed("ben", "acme", iat=now() + 2)), "a later one holds"


def test_revoked_in_one_organization_it_opens_the_others(api: Api) -> None:
    token = signed("ben", "acme", "zeta", iat=now())
    revoke(api, organizationId="acme")
    absent = ask(api, signed("ben", "nowhere", iat=now()))
    assert (ask(api, token).status_code, ask(api, token).data) == (200, absent.data)
    assert is_read(api, token, "zeta")
    assert is_read(api, signed("ben", "acme", iat=now() + 2))


@pytest.mark.parametrize("more", [{}, {"organizationId": "acme"}])
def test_a_revoked_token_deletes_nothing(api: Api, more: dict[str, str], redis: Redis) -> None:
    token = signed("ana", "acme", iat=now())
    revoke(api, "ana", **more)
    before = [stored(redis, name) for name in keys_of(redis, RECORD_PATTERN)]
    reply = delete(api, token)
    assert (reply.status_code, reply.get_json()["success"]) == ((200, True) if more else (401, False))
    assert [stored(redis, name) for name in keys_of(redis, RECORD_PATTERN)] == before


@pytest.mark.parametrize("claims", [{}, *({"iat": iat} for iat in (True, "1", -1, 0, 1.5))], ids=str)
def test_a_token_that_does_not_say_when_it_was_issued_is_older_than_any_mark(
    api: Api, claims: dict[str, Any]
) -> None:
    token = signed("ben", "acme", **claims)
    assert is_read(api, token), "before anything is revoked"
    revoke(api)
    assert ask(api, token).status_code == 401


@pytest.mark.parametrize(("seconds", "holds"), [(-1, False), (-0.5, False), (24.5, True), (25, True)])
def test_a_token_is_as_old_as_its_iat_says(api: Api, seconds: float, holds: bool) -> None:
    """The later tokens are within the leeway for clocks that differ."""
    token = signed("ben", "acme", iat=now() + seconds)
    assert is_read(api, token), "before anything is revoked"
    revoke(api)
    assert ask(api, token).status_code == (200 if holds else 401)


@pytest.mark.parametrize(
    "iat",
    [10**400, -(10**400), math.inf, -math.inf, math.nan, 1e300],
    ids=["huge", "huge and negative", "infinite", "infinite and negative", "no number", "large"],
)
def test_an_iat_beyond_all_numbers_is_no_failure_and_outlives_no_mark(api: Api, iat: Any) -> None:
    revoke(api)
    assert ask(api, signed("ben", "acme", iat=iat)).status_code == 401


def test_a_mark_only_moves_forward(api: Api, stores: Stores, redis: Redis) -> None:
    revoke(api)
    (name,) = keys_of(redis, REVOCATION_PATTERN)
    later = Mark("ben", "", (now() + 20) * 1000)
    redis.set(name, stores.envelope.seal(name.decode(), later.to_bytes()))
    assert revoke(api).get_json()["revokedAt"] == later.at_ms // 1000
    assert ask(api, signed("ben", "acme", iat=now() + 15)).status_code == 401
    earlier = Mark("ben", "", 1000)
    redis.set(name, stores.envelope.seal(name.decode(), earlier.to_bytes()))
    assert revoke(api).get_json()["revokedAt"] >= now() - 1


@pytest.mark.parametrize("more", [{}, {"organizationId": "acme"}])
@pytest.mark.parametrize("damaged", [b"", b"\x01damaged", b"{}"])
def test_a_mark_that_does_not_open_counts_as_revoked_and_is_counted(
    api: Api, redis: Redis, more: dict[str, str], damaged: bytes
) -> None:
    revoke(api, **more)
    (name,) = keys_of(redis, REVOCATION_PATTERN)
    redis.set(name, damaged)
    bearer = {"authorization": "Bearer metrics-token-for-tests-0123456789abcdef"}

    def unreadable() -> float:
        shown = api.client.get("/metrics", headers=bearer).text
        return figures_in(shown)['resolver_unreadable_total{what="revocation"}']

    before = unreadable()
    reply = ask(api, signed("ben", "acme", iat=now() + 20))
    assert (reply.status_code, reply.get_json()) == ((200, EMPTY) if more else (401, UNAUTHENTICATED))
    assert unreadable() == before + 1
    revoke(api, **more)
    assert is_read(api, signed("ben", "acme", iat=now() + 20)), "revoking again mends it"


def test_a_mark_under_another_name_does_not_open(api: Api, redis: Redis) -> None:
    """A writer to Redis without keys can't turn one person's old revocation into another's."""
    revoke(api, "ben")
    (of_ben,) = keys_of(redis, REVOCATION_PATTERN)
    revoke(api, "ana")
    (of_ana,) = set(keys_of(redis, REVOCATION_PATTERN)) - {of_ben}
    redis.set(of_ana, stored(redis, of_ben))
    assert ask(api, signed("ana", "acme", iat=now() + 20)).status_code == 401


def test_while_redis_is_down_nothing_passes_for_not_revoked(make_api: MakeApi) -> None:
    down = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    token = signed("ben", "acme", iat=now())
    replies = [
        ask(down, token),
        ask(down, token, "not theirs"),
        ask(down, token, ids=[]),
        delete(down, token),
    ]
    assert [reply.status_code for reply in replies] == [503] * 4
    assert error_of(down.post(REVOKE, {"userId": "ben"})) == (503, "UNAVAILABLE")


@pytest.mark.single_server
def test_a_revocation_counts_once_the_replicas_have_it(make_api: MakeApi) -> None:
    """Otherwise a failover could bring back tokens whose revocation was reported as done."""
    alone = make_api(RESOLVER_REDIS_WAIT="1")
    assert error_of(alone.post(REVOKE, {"userId": "ben"})) == (503, "UNAVAILABLE")


@pytest.mark.single_server
def test_a_revocation_that_a_later_mark_covers_waits_for_the_replicas_too(
    make_api: MakeApi, resolver_environment: dict[str, str]
) -> None:
    """The first writer was told that the revocation may be lost, so no later one may report it as done."""
    stores = build_stores(load(resolver_environment))
    name = stores.keyspace.revocation("ben")
    later = Mark("ben", "", (now() + 3600) * 1000)
    stores.redis.set(name, stores.envelope.seal(name, later.to_bytes()))
    alone = make_api(RESOLVER_REDIS_WAIT="1")
    assert error_of(alone.post(REVOKE, {"userId": "ben"})) == (503, "UNAVAILABLE")
    assert make_api().post(REVOKE, {"userId": "ben"}).status_code == 200


@pytest.mark.single_server
def test_marks_are_read_in_the_round_trip_of_the_records(api: Api, redis: Redis) -> None:
    token = signed("ben", "acme", iat=now() + 2)
    revoke(api)
    is_read(api, token)
    redis.config_resetstat()
    assert is_read(api, token)
    calls = {name: stats["calls"] for name, stats in redis.info("commandstats").items()}
    calls.pop("cmdstat_get", None)  # the check of the database's identity, once a second
    assert calls == {"cmdstat_mget": 1, "cmdstat_config|resetstat": 1}


def test_stored_revocations_name_no_one_and_do_not_expire(api: Api, redis: Redis) -> None:
    revoke(api, "somebody@example.com", organizationId="the-organization")
    (name,) = keys_of(redis, REVOCATION_PATTERN)
    assert redis.pttl(name) == -1
    for word in (b"somebody", b"the-organization"):
        assert word not in everything_in(redis)


@pytest.mark.parametrize(
    "body",
    [
        {"userId": "ben", "organisationId": "acme"},
        {"userId": "ben", "organizationIds": ["acme"]},
        {"userId": "ben", "organizationId": None},
        {"userId": "ben", "organizationId": ""},
        {"userId": "ben", "organizationId": ["acme"]},
        {"userId": "ben", "ttlSeconds": 60},
        {"userId": ""},
        {"userId": 7},
        {"userIds": ["ben"]},
        {},
    ],
)
def test_misspelt_keys_of_a_revocation_are_refused(api: Api, body: Any, redis: Redis) -> None:
    assert error_of(api.post(REVOKE, body)) == (400, "INVALID_ARGUMENT")
    assert keys_of(redis, REVOCATION_PATTERN) == []


def test_only_a_backend_revokes(api: Api, redis: Redis) -> None:
    own = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    for headers in ({}, own):
        assert error_of(api.post(REVOKE, {"userId": "ana"}, headers)) == (401, "UNAUTHENTICATED")
    wrong = {**BACKEND, "x-velt-auth-token": "another"}
    assert error_of(api.post(REVOKE, {"userId": "ana"}, wrong)) == (403, "PERMISSION_DENIED")
    assert keys_of(redis, REVOCATION_PATTERN) == []


def test_revoking_and_being_refused_are_on_record(make_api: MakeApi, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(log))
    revoke(api, organizationId="acme")
    revoke(api)
    ask(api, signed("ben", "acme"))
    lines = [line for line in map(orjson.loads, log.read_bytes().splitlines()) if "who" in line]
    told = [(line["who"], line["action"], line["outcome"], line.get("user")) for line in lines]
    backend, person = {"kind": "backend", "id": "backend"}, {"kind": "user", "id": "ben"}
    assert told == [
        (backend, "revoke", "ok", "ben"),
        (backend, "revoke", "ok", "ben"),
        (person, "get", "denied", None),
    ]
    assert [line.get("organization") for line in lines] == ["acme", None, None]


def test_both_ways_answer_a_revoked_token_alike(api: Api) -> None:
    """Requests that the hot-path router doesn't take go to Flask, which answers the same."""
    revoke(api, organizationId="acme")
    revoke(api, "ana")
    for user in ("ben", "ana"):
        answers = []
        for content_type in ("application/json", "application/json; charset=utf-8"):
            headers = {
                "authorization": f"Bearer {signed(user, 'acme', iat=now())}",
                "content-type": content_type,
            }
            body = orjson.dumps({"organizationId": "acme", "notificationIds": ["n-1"]})
            made = EnvironBuilder(GET, method="POST", data=body, headers=list(headers.items()))
            reply, status, _ = run_wsgi_app(api.client.application, made.get_environ())
            answers.append((status, b"".join(reply)))
        assert answers[0] == answers[1]
