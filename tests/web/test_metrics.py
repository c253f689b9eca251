"""Metrics: figures that are true, for who has the token."""

from __future__ import annotations

from collections.abc import Callable

from structlog.testing import capture_logs

from resolver.services import Services
from tests.support import BACKEND, Api

TOKEN = "metrics-token-for-tests-0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def figures(api: Api) -> dict[str, float]:
    reply = api.client.get("/metrics", headers=BEARER)
    assert reply.status_code == 200
    lines = [line for line in reply.get_data(as_text=True).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.split() for line in lines)}


def test_they_tell_what_waits_and_whether_anybody_is_at_it(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=TOKEN, RESOLVER_REGISTRATION="deferred")
    for n in range(3):
        api.add(notificationId=f"n-{n}")
    found = figures(api)
    assert found.pop("resolver_outbox_oldest_due_seconds") >= 0
    assert found == {
        "resolver_redis_up": 1,
        "resolver_outbox_waiting": 3,
        "resolver_outbox_due": 3,
        "resolver_outbox_dead": 0,
        "resolver_worker_alive": 0,
    }
    services: Services = api.client.application.extensions["resolver"]
    services.outbox.beat()
    assert figures(api)["resolver_worker_alive"] == 1


def test_an_outage_of_redis_is_a_figure_too(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=TOKEN, REDIS_URL="redis://127.0.0.1:1/0")
    assert figures(api) == {"resolver_redis_up": 0}


def test_only_the_metrics_token_opens_them(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=TOKEN)
    for headers, status in (({}, 401), (BACKEND, 401), ({"authorization": "Bearer wrong"}, 403)):
        assert api.client.get("/metrics", headers=headers).status_code == status
    assert api.post("/v2/notifications/get", {"data": {}}, BEARER).status_code == 401


def test_without_a_token_they_are_closed_in_production(make_api: Callable[..., Api]) -> None:
    assert make_api(RESOLVER_MODE="production").client.get("/metrics").status_code == 404
    assert make_api().client.get("/metrics").status_code == 200


def test_that_nobody_is_at_what_waits_is_said_in_the_log_now_and_then(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    with capture_logs() as logged:
        for n in range(5):
            api.add(notificationId=f"n-{n}")
    assert [entry["event"] for entry in logged].count("no_worker_alive") == 1
