"""nginx and HAProxy as `deploy/` ships them: restarts that fail no request, a listener for each side."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import orjson
import pytest
import urllib3

from tests.support import BACKEND, Velt, notification
from tests.system.balancers import CLIENTS, GET, Balanced, Balancer, Traffic, balanced, haproxy, nginx
from tests.system.load import assert_nothing_is_lost
from tests.system.processes import web_processes_of
from tests.waiting import until

pytestmark = pytest.mark.system

Environment = dict[str, str]
SHARE_OF_THE_LOAD = 20
"""Requests that an instance has answered when it is counted as restarted, and the next one is restarted."""
SILENCE_SECONDS = 60
"""As long as nginx keeps an idle connection, so that either end may have closed it."""
BALANCERS = pytest.mark.parametrize("balancer", [nginx, haproxy])


@pytest.fixture
def environment(resolver_environment: Environment) -> Environment:
    return {**resolver_environment, "RESOLVER_DRAIN_SECONDS": "2", "RESOLVER_LOG_LEVEL": "info"}


def web_processes(found: Balanced, number: int) -> list[int]:
    """Return the ids of an instance's web processes."""
    return web_processes_of(found.instances[number].process.pid)


def restart_in_turn(found: Balanced, times: int) -> None:
    for number in range(times):
        found.instances[number % 2].restart()
        found.instances[number % 2].wait_for_requests(SHARE_OF_THE_LOAD)


def reload_in_turn(found: Balanced, times: int) -> None:
    for number in range(times):
        before = web_processes(found, number % 2)
        found.instances[number % 2].process.send_signal(signal.SIGHUP)
        until(lambda n=number, old=before: set(web_processes(found, n % 2)).isdisjoint(old), seconds=15)  # type: ignore[misc]
        found.instances[number % 2].wait_for_requests(SHARE_OF_THE_LOAD)


def kill_one(found: Balanced) -> None:
    (victim,) = web_processes(found, 0)
    os.kill(victim, signal.SIGKILL)
    until(lambda: web_processes(found, 0) not in ([], [victim]), seconds=10)


@BALANCERS
@pytest.mark.parametrize("times", [2, pytest.param(10, marks=[pytest.mark.heavy, pytest.mark.timeout(400)])])
def test_restarts_and_reloads_fail_no_request(
    balancer: Balancer, times: int, environment: Environment, velt: Velt, tmp_path: Path
) -> None:
    with balanced(balancer, environment, tmp_path) as found:
        with Traffic(found) as traffic:
            restart_in_turn(found, times)
            reload_in_turn(found, times)
            traffic.wait_for_a_round()
        assert traffic.failures() == {}
        assert traffic.outcomes.total() > 100
        until(lambda: set(traffic.added) <= {item["id"] for item in velt.inbox("ben")}, seconds=20)
        assert_nothing_is_lost(found.instances[0].url, velt, traffic.added)


@BALANCERS
def test_killed_process_fails_at_most_the_requests_under_way(
    balancer: Balancer, environment: Environment, velt: Velt, tmp_path: Path
) -> None:
    with balanced(balancer, environment, tmp_path) as found:
        with Traffic(found) as traffic:
            found.instances[0].wait_for_requests()
            kill_one(found)
            found.instances[0].wait_for_requests()
            traffic.wait_for_a_round()
        assert sum(traffic.failures().values()) <= CLIENTS, traffic.failures()
        until(lambda: set(traffic.added) <= {item["id"] for item in velt.inbox("ben")}, seconds=20)
        assert_nothing_is_lost(found.instances[1].url, velt, traffic.added)


@BALANCERS
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_connections_answer_after_a_minute_of_silence(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    with balanced(balancer, {**environment, "RESOLVER_LOG_LEVEL": "error"}, tmp_path) as found:
        traffic, pool = Traffic(found), found.pool()
        body = {"organizationId": "acme", "notificationIds": ["n-0"]}
        for _ in range(50):
            traffic.send(pool, found.internet, GET, body)
        time.sleep(SILENCE_SECONDS)
        for _ in range(10_000):
            traffic.send(pool, found.internet, GET, body)
        assert traffic.failures() == {}


def call(
    found: Balanced, url: str, path: str, body: object = None, **headers: str
) -> urllib3.BaseHTTPResponse:
    raw = body if isinstance(body, bytes) else orjson.dumps(body or {})
    wanted = {"content-type": "application/json", **BACKEND, **headers}
    return found.pool().request("POST", url + path, body=raw, headers=wanted)


def refuses_a_body_that_is_too_large(found: Balanced) -> bool:
    """Whether the answer is 413. A connection that is closed while the client still sends counts too."""
    try:
        return call(found, found.internet, GET, b'{"x":"' + b"x" * 2**20 + b'"}').status == 413
    except urllib3.exceptions.HTTPError:
        return True


@BALANCERS
def test_public_listener_passes_on_data_provider_endpoints_alone(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    privacy = "privacy-token-for-tests-0123456789abcdef"
    settings = {**environment, "RESOLVER_PRIVACY_TOKENS": f"dpo:{privacy}", "RESOLVER_RATE_LIMIT": "5/hour"}
    with balanced(balancer, settings, tmp_path) as found:
        added = call(found, found.inside, "/v2/notifications/add", {"data": notification()})
        assert added.status == 200
        read = call(found, found.internet, GET, {"organizationId": "acme", "notificationIds": ["n-1"]})
        assert (read.status, "n-1" in read.json()["data"]) == (200, True)
        for path in (
            "/v2/notifications/add",
            "/api/velt/token",
            "/privacy/export",
            "/privacy/erase",
            "/metrics",
            "/readyz",
            "/livez",
            "/openapi.json",
            "/api/velt/notifications/get/",
            "/api/velt/notifications/../token",
            "//v2/notifications/add",
            "/api/velt/notifications/get%2f..%2f..%2ftoken",
        ):
            assert call(found, found.internet, path, {"data": notification()}).status in (400, 404), path
        assert refuses_a_body_that_is_too_large(found)
        exported = call(
            found, found.inside, "/privacy/export", {"userIds": ["ben"]}, authorization=f"Bearer {privacy}"
        )
        assert b'"complete":true' in exported.data


@BALANCERS
def test_forwarded_headers_of_a_client_are_ignored(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    trail = tmp_path / "audit.log"
    settings = {**environment, "RESOLVER_RATE_LIMIT": "5/hour", "RESOLVER_AUDIT_LOG": str(trail)}
    with balanced(balancer, settings, tmp_path) as found:
        statuses = [
            call(
                found,
                found.internet,
                GET,
                **{
                    "x-velt-auth-token": "wrong",
                    "x-forwarded-for": f"203.0.113.{number}",
                    "forwarded": f"for=203.0.113.{number}",
                },
            ).status
            for number in range(14)
        ]
        # Each of the two processes counts by itself.
        assert 429 in statuses, "a new address each time would never be counted"
        lines = [orjson.loads(line) for line in trail.read_bytes().splitlines()]
        addresses = {line["who"]["id"] for line in lines if line.get("who", {}).get("kind") == "unknown"}
        assert addresses == {"127.0.0.1"}
        assert "203.0.113" not in found.instances[0].log + found.instances[1].log + trail.read_text()


@BALANCERS
def test_well_formed_request_id_is_kept_and_another_is_replaced(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    with balanced(balancer, environment, tmp_path) as found:
        good = call(found, found.inside, GET, {}, **{"x-request-id": "abcdefgh-1234"})
        assert good.headers["x-request-id"] == "abcdefgh-1234"
        bad = call(found, found.inside, GET, {}, **{"x-request-id": "bad id; drop"})
        assert len(bad.headers["x-request-id"]) >= 8
        assert "drop" not in bad.headers["x-request-id"]


@BALANCERS
def test_answer_without_any_instance_has_the_shape_of_the_surface(
    balancer: Balancer, environment: Environment, tmp_path: Path
) -> None:
    with balanced(balancer, {**environment, "RESOLVER_DRAIN_SECONDS": "0"}, tmp_path) as found:
        for instance in found.instances:
            instance.process.send_signal(signal.SIGTERM)
            assert instance.process.wait(30) == 0
        reply = call(found, found.internet, GET, {})
        assert (reply.status, reply.json()["success"]) == (503, False)
