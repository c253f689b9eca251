from __future__ import annotations

from collections.abc import Callable

from resolver.deadline import CURRENT
from tests.support import Api, key


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


def test_it_is_not_ready_before(make_api: Callable[..., Api]) -> None:
    reply = make_api(REDIS_URL="redis://127.0.0.1:1/0").client.get("/readyz")
    assert (reply.status_code, reply.get_json()) == (503, {"status": "starting", "redis": "down"})


def test_a_requests_deadline_ends_with_it(api: Api) -> None:
    api.client.get("/readyz")
    assert CURRENT.get() is None
