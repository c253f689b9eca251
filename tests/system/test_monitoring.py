"""`deploy/prometheus` and `deploy/grafana`, with a real Prometheus that scrapes a real instance: every alert
fires for its cause, and not before."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from redis import Redis

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from resolver.config import load
from resolver.privacy.erasure_request import ErasureRequest, new_id
from resolver.store.keyspace import IDENTITY_KEY, RECORD_PATTERN
from resolver.wiring import build_stores
from tests.support import BACKEND, METRICS_TOKEN, Velt, environment, keys_of, notification, stored
from tests.system.conftest import (
    RESOLVER,
    Served,
    free_port,
    plain_environment,
    serving,
    wait_until_ready,
)
from tests.system.processes import suspended
from tests.waiting import until, wait_for

pytestmark = pytest.mark.system
DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
NAMES = re.findall(r"alert: (\w+)", ALERTS.read_text(encoding="utf-8"))
ENOUGH_SCRAPES = 3
"""An alert would fire after so many: two for a rate, and one so that the rules are evaluated after them."""
GET = "/api/velt/notifications/get"


def found(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"{program} is not installed (Debian: prometheus)")


@dataclass
class Prometheus:
    url: str

    def get(self, path: str, **query: str) -> Any:
        reply = urllib3.request("GET", f"{self.url}/api/v1/{path}", fields=query, retries=False, timeout=5)
        assert reply.status == 200, reply.data
        return reply.json()["data"]

    def firing(self) -> set[str]:
        alerts = self.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def scrapes(self) -> int:
        """Return how many times it has scraped the instance."""
        (found,) = self.query('count_over_time(up{job="velt-resolver"}[1h])')
        return int(found["value"][1])

    def query(self, expression: str) -> list[Any]:
        result: list[Any] = self.get("query", query=expression)["result"]
        return result


@dataclass
class World:
    """An instance, its Redis, its Velt, and the Prometheus that scrapes it."""

    served: Served
    redis: LocalRedis
    velt: Velt
    prometheus: Prometheus
    variables: dict[str, str]
    folder: Path

    def client(self) -> Redis:
        return Redis.from_url(self.redis.url)

    def post(self, path: str, body: Any, headers: Mapping[str, str] = BACKEND) -> int:
        reply = urllib3.request(
            "POST", self.served.url + path, json=body, headers=dict(headers), retries=False, timeout=5
        )
        return reply.status

    def add(self, name: str) -> int:
        return self.post("/v2/notifications/add", {"data": notification(notificationId=name)})

    def is_registered(self, name: str) -> bool:
        """Add, and say whether Velt took it within the call, for which the circuit breaker must be closed."""
        url, body = f"{self.served.url}/v2/notifications/add", {"data": notification(notificationId=name)}
        reply = urllib3.request("POST", url, json=body, headers=BACKEND, retries=False, timeout=5)
        return bool(reply.json()["result"]["data"]["registration"] == "registered")

    def read(self, *names: str) -> int:
        return self.post(GET, {"organizationId": "acme", "notificationIds": names}, self.reader)

    @property
    def reader(self) -> dict[str, str]:
        body = {"userId": "ben", "organizationIds": ["acme"]}
        url = f"{self.served.url}/api/velt/token"
        reply = urllib3.request("POST", url, json=body, headers=BACKEND, retries=False, timeout=5)
        return {"authorization": f"Bearer {reply.json()['token']}"}

    @contextmanager
    def worker(self) -> Iterator[None]:
        with (self.folder / "worker.log").open("ab") as log:
            process = start_child(
                [*RESOLVER, "worker"], env=plain_environment(self.variables), stdout=log, stderr=log
            )
        try:
            until(lambda: self.client().exists("vnr:worker") == 1, "the worker")
            yield
        finally:
            stop_child(process)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "certificates").mkdir()
    with ExitStack() as stack:
        redis = LocalRedis(folder / "redis", [])
        stack.callback(redis.stop)
        velt = Velt(sandbox_url)
        velt.control("POST", "reset")
        variables = environment(
            REDIS_URL=redis.url,
            VELT_API_URL=sandbox_url,
            RESOLVER_METRICS_TOKEN=METRICS_TOKEN,
            RESOLVER_WORKER="separate",
            RESOLVER_AUDIT_LOG=str(folder / "audit.log"),
            RESOLVER_CERTIFICATE_DIR=str(folder / "certificates"),
        )
        served = stack.enter_context(serving(variables, folder / "log"))
        prometheus = stack.enter_context(watching(served.url, folder))
        yield World(served, redis, velt, prometheus, variables, folder)


@contextmanager
def watching(url: str, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus with the shipped files, but with this test's target and intervals, and alerts that fire
    without their `for` time."""
    rules = re.sub(r"\n +for: \w+", "", ALERTS.read_text(encoding="utf-8"))
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    changed = config.replace("127.0.0.1:8080", url.removeprefix("http://"))
    assert changed != config
    head = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}\n"
    (folder / "prometheus.yml").write_text(head + changed, encoding="utf-8")
    (folder / "metrics-token").write_text(METRICS_TOKEN, encoding="utf-8")
    bind, log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
    command = [
        found("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={bind}",
    ]
    with log.open("wb") as output:
        process = start_child(command, stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://{bind}/-/ready", process, log)
        yield Prometheus(f"http://{bind}")
    finally:
        stop_child(process)


@contextmanager
def again_and_again(do: Callable[[], object]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            do()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def velt_is_away(world: World) -> Iterator[None]:
    world.velt.break_with(status=503)
    assert world.add("away") == 200
    # A single failure may come before the first scrape, and then it is no increase.
    with again_and_again(lambda: world.add("away")):
        yield
    world.velt.mend()


def the_token_at_velt_was_reset(world: World) -> Iterator[None]:
    # A new id each time: commands wait behind earlier ones of their notification, and no worker sends those.
    # Not often: many adds that succeed would hide later failures.
    ids = count()
    wait_for(lambda: world.is_registered(f"before-{next(ids)}"), "a closed circuit breaker", pause=0.5)
    world.velt.break_with(status=401, errorStatus="UNAUTHENTICATED")
    world.add("reset")
    yield
    world.velt.mend()


def velt_refuses_a_command_for_good(world: World) -> Iterator[None]:
    world.velt.break_with(status=503)
    world.add("refused")
    world.velt.mend()
    world.velt.break_with(status=400, errorStatus="INVALID_ARGUMENT")
    with world.worker():
        yield
    world.velt.mend()


def no_worker_runs(world: World) -> Iterator[None]:
    world.client().delete("vnr:worker")
    yield


def something_waits_for_ten_minutes(world: World) -> Iterator[None]:
    world.velt.break_with(status=503)
    world.add("long")
    redis = world.client()
    for queue in keys_of(redis, "{p*}q"):
        for name in cast(list[bytes], redis.zrange(queue, 0, -1)):
            redis.zincrby(queue, -600_000, name)
    yield
    world.velt.mend()


def the_audit_trail_cannot_be_written(world: World) -> Iterator[None]:
    log = world.folder / "audit.log"
    aside = log.rename(world.folder / "audit.aside")
    log.mkdir()
    until(lambda: world.add("unaudited") == 503, "a refusal")
    yield
    log.rmdir()
    aside.rename(log)
    until(lambda: world.add("audited") == 200, "a trail")


def a_record_is_damaged(world: World) -> Iterator[None]:
    assert world.add("damaged") == 200
    redis = world.client()
    for name in keys_of(redis, RECORD_PATTERN):
        redis.set(name, b"\x01damaged")
    assert world.read("damaged") == 200
    yield


def an_erasure_waits(world: World) -> Iterator[None]:
    order = ErasureRequest(new_id(), "test", "2026-01-01T00:00:00Z", users=("ana",))
    erasure_store = build_stores(load(world.variables)).erasure_store
    erasure_store.file(order.id, order.state())
    yield
    world.client().delete("{p00}e")


def a_client_guesses_tokens(world: World) -> Iterator[None]:
    pool = urllib3.PoolManager(retries=False, timeout=5)
    guess = {"authorization": "Bearer a-guess", "content-type": "application/json"}
    for _ in range(2500):
        assert pool.request("POST", world.served.url + GET, body=b"{}", headers=guess).status in (401, 429)
    yield


def redis_belongs_to_others(world: World) -> Iterator[None]:
    redis = world.client()
    own = stored(redis, IDENTITY_KEY)
    redis.set(IDENTITY_KEY, b"1:somebody-else")
    until(lambda: world.add("foreign") == 503, "a refusal")
    yield
    redis.set(IDENTITY_KEY, own)


def redis_came_back_from_a_backup(world: World) -> Iterator[None]:
    unknown = world.folder / "certificates" / f"{'0' * 32}.json"
    unknown.write_text("{}", encoding="utf-8")
    yield
    unknown.unlink()


def redis_hangs(world: World) -> Iterator[None]:
    assert world.add("hung") == 200
    reader = world.reader
    with suspended(int(world.client().info("server")["process_id"])):
        for _ in range(5):
            world.post(GET, {"organizationId": "acme", "notificationIds": ["hung"]}, reader)
        yield


def the_instance_is_gone(world: World) -> Iterator[None]:
    stop_child(world.served.process)
    yield


# In this order, since the last ones break what the others need.
CAUSES: dict[Callable[[World], Iterator[None]], set[str]] = {
    velt_is_away: {"ResolverVeltUnreached"},
    the_token_at_velt_was_reset: {"ResolverVeltRefusesCredentials"},
    velt_refuses_a_command_for_good: {"ResolverCommandsDead"},
    no_worker_runs: {"ResolverNoWorker"},
    something_waits_for_ten_minutes: {"ResolverOutboxStuck"},
    a_record_is_damaged: {"ResolverUnreadable"},
    an_erasure_waits: {"ResolverErasureStuck"},
    the_audit_trail_cannot_be_written: {"ResolverAuditFailing", "ResolverFailing"},
    redis_belongs_to_others: {"ResolverRedisForeign", "ResolverAuditNotAnchored"},
    redis_came_back_from_a_backup: {"ResolverErasuresNotReplayed"},
    a_client_guesses_tokens: {"ResolverManyDenied"},
    redis_hangs: {"ResolverRedisDown", "ResolverSlow"},
    the_instance_is_gone: {"ResolverDown"},
}


def test_every_alert_has_a_cause_and_a_runbook() -> None:
    assert set().union(*CAUSES.values()) == set(NAMES)
    headings = re.findall(r"^#+ (\w+)$", OPERATIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [name for name in headings if name.startswith("Resolver")] == NAMES
    runbooks = re.findall(r"runbook: docs/operations.md#(\w+)", ALERTS.read_text(encoding="utf-8"))
    assert runbooks == [name.lower() for name in NAMES]


def test_promtool_accepts_what_is_shipped(tmp_path: Path) -> None:
    for file in (DEPLOY / "prometheus").iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "metrics-token").write_text(METRICS_TOKEN, encoding="utf-8")
    done = subprocess.run(
        [found("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(NAMES)} rules found" in done.stdout


def test_no_alert_fires_without_a_cause(world: World) -> None:
    with world.worker():
        world.prometheus.query("up")
        for n in range(20):
            assert world.add(f"well-{n}") == 200
            assert world.read(f"well-{n}") == 200
        until(lambda: bool(world.prometheus.query("resolver_worker_alive == 1")), "a scrape")
        seen = world.prometheus.scrapes()
        until(lambda: world.prometheus.scrapes() >= seen + ENOUGH_SCRAPES, "more scrapes")
        assert world.prometheus.firing() == set()


def test_every_metric_in_the_dashboard_and_the_alerts_exists(world: World) -> None:
    """Each panel's expression is valid, queried as Grafana does, and all metrics that it names exist."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    for expression in expressions:
        asked = expression.replace("$job", "velt-resolver").replace("$__rate_interval", "1m")
        world.prometheus.query(asked)
    named = set(re.findall(r"\bresolver_\w+", "\n".join([*expressions, ALERTS.read_text(encoding="utf-8")])))
    there = set(world.prometheus.get("label/__name__/values"))
    assert named <= there
    shown = {name for name in there if name.startswith("resolver_") and not name.endswith("_sum")}
    assert shown - named == set(), "a metric that no panel and no alert uses"


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_alert_fires_for_its_cause(world: World, cause: Callable[[World], Iterator[None]]) -> None:
    alerts = CAUSES[cause]
    assert not world.prometheus.firing() & alerts - {"ResolverNoWorker"}
    happening = cause(world)
    next(happening)
    try:
        until(lambda: alerts <= world.prometheus.firing(), f"{sorted(alerts)}")
    finally:
        with suppress(StopIteration):
            next(happening)
