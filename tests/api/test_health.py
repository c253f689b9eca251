from __future__ import annotations

from collections.abc import Callable

from redis import Redis

from resolver.deadline import CURRENT
from resolver.store.keyspace import IDENTITY_KEY
from tests.support import BACKEND, Api, key, stored


def test_a_live_process_says_so_without_looking_at_redis(make_api: Callable[..., Api]) -> None:
    api = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    assert api.client.get("/livez").get_json() == {"status": "ok"}


def test_it_is_ready_once_redis_was_reached(api: Api) -> None:
    reply = api.client.get("/readyz")
    assert (reply.status_code, reply.get_json()) == (200, {"status": "ok", "redis": "ok"})


def test_a_database_of_another_deployment_is_named_as_that(make_api: Callable[..., Api], api: Api) -> None:
    api.client.get("/readyz")
    reply = make_api(RESOLVER_INDEX_KEY=key(77)).client.get("/readyz")
    assert (reply.status_code, reply.get_json()) == (503, {"status": "starting", "redis": "foreign"})


def test_readiness_names_a_database_of_an_earlier_schema(
    make_api: Callable[..., Api], api: Api, redis: Redis
) -> None:
    api.add(notificationId="n-1")
    redis.set(IDENTITY_KEY, b"2:" + stored(redis, IDENTITY_KEY).split(b":", 1)[1])
    started = make_api()
    reply = started.client.get("/readyz")
    assert (reply.status_code, reply.get_json()) == (503, {"status": "starting", "redis": "outdated"})
    body = {"organizationId": "acme", "notificationIds": ["n-1"]}
    assert started.post("/api/velt/notifications/get", body, BACKEND).status_code == 503
    assert started.services.store.unreadable == 0


def test_it_is_not_ready_before(make_api: Callable[..., Api]) -> None:
    reply = make_api(REDIS_URL="redis://127.0.0.1:1/0").client.get("/readyz")
    assert (reply.status_code, reply.get_json()) == (503, {"status": "starting", "redis": "down"})


def test_a_requests_deadline_ends_with_it(api: Api) -> None:
    api.client.get("/readyz")
    assert CURRENT.get() is None
