"""Metrics: correct figures, for callers with the token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from structlog.testing import capture_logs

from resolver.store.keyspace import RECORD_PATTERN
from resolver.wiring import Services
from tests.support import BACKEND, METRICS_TOKEN, Api, Velt, figures_in, keys_of

BEARER = {"authorization": f"Bearer {METRICS_TOKEN}"}
Figures = dict[str, float]


def figures(api: Api) -> Figures:
    reply = api.client.get("/metrics", headers=BEARER)
    assert reply.status_code == 200
    return figures_in(reply.get_data(as_text=True))


@contextmanager
def rise(api: Api) -> Iterator[Figures]:
    """Return the metrics that rose in the block. This process has counted for other tests before."""
    before, risen = figures(api), Figures()
    yield risen
    after = figures(api)
    risen |= {name: value - before.get(name, 0) for name, value in after.items()}


def test_metrics_show_queued_commands_and_worker(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN, RESOLVER_REGISTRATION="deferred")
    for n in range(3):
        api.add(notificationId=f"n-{n}")
    found = {name: value for name, value in figures(api).items() if "outbox" in name or "worker" in name}
    assert found.pop("resolver_outbox_oldest_due_seconds") >= 0
    assert found == {
        "resolver_outbox_waiting": 3,
        "resolver_outbox_due": 3,
        "resolver_outbox_dead": 0,
        "resolver_worker_alive": 0,
    }
    services: Services = api.client.application.extensions["resolver"]
    services.outbox.heartbeat()
    assert figures(api)["resolver_worker_alive"] == 1


def test_requests_are_counted_by_surface_and_how_they_ended(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    with rise(api) as risen:
        api.add()
        api.add(organizationId=7)
        api.read("n-1")
        api.post("/api/velt/notifications/get", {}, {"authorization": "Bearer nobody's"})
        api.post("/nowhere", {})
    assert {
        "mirror ok": risen['resolver_request_seconds_count{outcome="ok",surface="mirror"}'],
        "mirror invalid": risen['resolver_request_seconds_count{outcome="invalid",surface="mirror"}'],
        "callback ok": risen['resolver_request_seconds_count{outcome="ok",surface="callback"}'],
        "callback denied": risen['resolver_request_seconds_count{outcome="denied",surface="callback"}'],
        "none": risen['resolver_request_seconds_count{outcome="invalid",surface="none"}'],
    } == {"mirror ok": 1, "mirror invalid": 1, "callback ok": 1, "callback denied": 1, "none": 1}


def test_calls_to_velt_and_uses_of_the_vault_are_counted(make_api: Callable[..., Api], velt: Velt) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    with rise(api) as risen:
        api.add()
        velt.break_with(status=401)
        api.add(notificationId="n-2")
        velt.mend()
        api.read("n-1", "n-2")
    calls = 'resolver_velt_seconds_count{endpoint="/v2/notifications/add",outcome="%s"}'
    assert risen[calls % "ok"] == 1
    assert risen[calls % "credentials"] == 1
    assert risen['resolver_vault_seconds_count{operation="put",outcome="ok"}'] == 2
    assert risen['resolver_vault_seconds_count{operation="read",outcome="ok"}'] == 1


def test_a_breaker_shows_while_it_is_open(make_api: Callable[..., Api], velt: Velt) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    velt.break_with(status=503)
    api.add()
    assert figures(api)['resolver_breaker_open{service="velt"}'] == 1
    velt.mend()
    services: Services = api.client.application.extensions["resolver"]
    services.add.sender.breaker.success()
    assert figures(api)['resolver_breaker_open{service="velt"}'] == 0


def test_unreadable_values_are_counted(make_api: Callable[..., Api], redis: Redis) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    api.add()
    redis.set(keys_of(redis, RECORD_PATTERN)[0], b"damaged")
    with rise(api) as risen:
        assert api.read("n-1") == {}
    assert risen['resolver_unreadable_total{what="record"}'] >= 1


def test_a_trail_that_cannot_be_written_is_counted(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN, RESOLVER_AUDIT_LOG="/dev/full")
    with rise(api) as risen:
        assert api.add().status_code == 503
    assert risen['resolver_audit_failures_total{what="line"}'] >= 1


def test_keys_are_told_by_id_and_use(make_api: Callable[..., Api]) -> None:
    found = figures(make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN))
    assert found['resolver_master_key{key="k1",use="seals"}'] == 1


def test_an_outage_of_redis_is_a_figure_too(make_api: Callable[..., Api]) -> None:
    found = figures(make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN, REDIS_URL="redis://127.0.0.1:1/0"))
    states = {name: value for name, value in found.items() if name.startswith("resolver_redis_state")}
    assert {name for name, value in states.items() if value} == {'resolver_redis_state{state="down"}'}
    assert len(states) == 5
    assert not [name for name in found if "outbox" in name]


def test_no_label_can_hold_a_name(make_api: Callable[..., Api]) -> None:
    """The label names are few, none identifies a person or a notification, and values come from short
    lists."""
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    api.add(organizationId="CANARY-org", notificationId="CANARY-id")
    api.read("CANARY-id", user="CANARY-user", organization="CANARY-org")
    text = api.client.get("/metrics", headers=BEARER).get_data(as_text=True)
    assert "CANARY" not in text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = {label for sample in samples for label in sample.labels}
    assert labels == {
        *("surface", "outcome", "operation", "endpoint", "service", "what", "state", "key", "use", "version"),
        "le",
    }


def test_only_the_metrics_token_opens_them(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS_TOKEN)
    for headers, status in (({}, 401), (BACKEND, 401), ({"authorization": "Bearer wrong"}, 403)):
        assert api.client.get("/metrics", headers=headers).status_code == status
    assert api.post("/v2/notifications/get", {"data": {}}, BEARER).status_code == 401


def test_without_a_token_they_are_closed_in_production(make_api: Callable[..., Api]) -> None:
    assert make_api(RESOLVER_MODE="production").client.get("/metrics").status_code == 404
    assert make_api().client.get("/metrics").status_code == 200


def test_missing_worker_is_logged_from_time_to_time(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    with capture_logs() as logged:
        for n in range(5):
            api.add(notificationId=f"n-{n}")
    assert [entry["event"] for entry in logged].count("no_worker_alive") == 1
