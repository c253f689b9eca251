"""Acknowledged notifications survive kills, outages, and a full, hung or restarted Redis, under load."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from redis import Redis

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from resolver.config import load
from resolver.outbox.queue import Outbox
from resolver.store.command import Command, Entry, Kind
from resolver.velt import requests
from resolver.velt.field_allow_list import split_add
from resolver.wiring import build_stores
from tests.store.conftest import record
from tests.support import Velt, keys_of, notification
from tests.system.conftest import RESOLVER, Served, plain_environment, serving
from tests.system.load import Adding, add, assert_nothing_is_lost, post, read
from tests.system.processes import cpu_share, suspended, wait_until_idle, web_processes_of, workers_of
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
KILLS, WORKER_KILLS = 20, 3
ADDS_BETWEEN_KILLS = 20
OUTAGE_SECONDS = 3
"""How long Velt is out: long enough for several probes of each process, and for a Retry-After to end."""
WATCHED_SECONDS = 6
"""How long an idle worker is watched."""
ADD, UPDATE, DELETE = (f"/v2/notifications/{name}" for name in ("add", "update", "delete"))


@pytest.fixture
def outbox(resolver_environment: dict[str, str]) -> Outbox:
    return build_stores(load(resolver_environment)).outbox


@pytest.fixture
def two_webs(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with serving({**resolver_environment, "WEB_CONCURRENCY": "2"}, tmp_path / "log") as running:
        yield running


def drained(outbox: Outbox) -> bool:
    return outbox.depth().waiting == 0


def test_killed_web_processes_and_workers_lose_nothing(two_webs: Served, velt: Velt, outbox: Outbox) -> None:
    kills = worker_kills = 0
    with Adding(two_webs.url) as adding:
        while kills < KILLS or worker_kills < WORKER_KILLS or len(adding.acknowledged) <= 100:
            kills += 1
            # A process that is killed before it has started would never serve.
            adding.wait_for_acknowledged(ADDS_BETWEEN_KILLS)
            os.kill(web_processes_of(two_webs.process.pid)[0], signal.SIGKILL)
            # The master restarts it after pauses that double; during a pause there is no worker to kill.
            for pid in workers_of(two_webs.process.pid):
                os.kill(pid, signal.SIGKILL)
                worker_kills += 1
    until(lambda: drained(outbox), seconds=40)
    assert_nothing_is_lost(two_webs.url, velt, adding.acknowledged)
    assert len(adding.acknowledged) > 100


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"hang": 20},
        pytest.param({"drop": "after"}, marks=pytest.mark.heavy),
        {"retryAfter": 3},
        pytest.param({"malformed": True}, marks=pytest.mark.heavy),
        pytest.param({"body": {"error": {"status": "INTERNAL", "message": "m"}}}, marks=pytest.mark.heavy),
    ],
    ids=["500", "hang", "dropped after commit", "429", "malformed", "200 with an error"],
)
def test_an_outage_of_velt_under_load_only_delays(
    two_webs: Served, velt: Velt, outbox: Outbox, fault: dict[str, Any]
) -> None:
    with Adding(two_webs.url) as adding:
        adding.wait_for_acknowledged(ADDS_BETWEEN_KILLS)
        velt.break_with(**fault)
        began = len(velt.ledger(ADD))
        time.sleep(OUTAGE_SECONDS)
        asked = len(velt.ledger(ADD)) - began
        velt.mend()
    assert set(adding.statuses) == {200}
    assert adding.slowest < 2.2
    # The requests under way when the outage began (4 of each web process, 8 of the worker); one more of each
    # process, since the first failure after a success may be due to the call; and a probe of each of the
    # three processes in each interval.
    assert asked <= 2 * (4 + 1) + (8 + 1) + 3 * 5
    if "retryAfter" in fault:
        # Velt refused each process once, and none sent another request before its Retry-After was over. The
        # web processes are refused early, the worker when its first command is due.
        times = [entry["at"] for entry in velt.ledger(ADD)[began : began + asked]]
        assert len([at for at in times if times[0] + 1000 < at < times[0] + 2900]) <= 1
    until(lambda: drained(outbox), seconds=30)
    assert_nothing_is_lost(two_webs.url, velt, adding.acknowledged)


class OwnRedis:
    """A Redis with an append-only file that can be killed and started again in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = self._start()

    def _start(self) -> LocalRedis:
        options = ["--appendonly", "yes", "--appendfsync", "always"]
        return LocalRedis(self.folder / "data", options, socket=self.folder / "r.sock")

    def kill_and_restart(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.stop()
        self.server = self._start()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    running = OwnRedis(tmp_path_factory.mktemp("r"))
    yield running
    running.server.stop()


@pytest.fixture
def own_environment(own_redis: OwnRedis, resolver_environment: dict[str, str]) -> dict[str, str]:
    return {**resolver_environment, "REDIS_URL": own_redis.server.url, "WEB_CONCURRENCY": "1"}


@pytest.fixture
def on_own_redis(own_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with serving(own_environment, tmp_path / "log") as running:
        yield running


def test_redis_killed_under_load_loses_nothing(
    on_own_redis: Served, own_redis: OwnRedis, own_environment: dict[str, str], velt: Velt
) -> None:
    kills = 0
    with Adding(on_own_redis.url) as adding:
        while kills < KILLS or len(adding.acknowledged) <= 50:
            kills += 1
            adding.wait_for_acknowledged(1)
            own_redis.kill_and_restart()
        adding.wait_for_acknowledged(1)
    assert set(adding.statuses) <= {200, 503}
    outbox = build_stores(load(own_environment)).outbox
    until(lambda: drained(outbox), seconds=40)
    assert_nothing_is_lost(on_own_redis.url, velt, adding.acknowledged)
    assert len(adding.acknowledged) > 50


@pytest.mark.parametrize("outage_seconds", [5, pytest.param(30, marks=pytest.mark.heavy)])
def test_adds_fail_in_time_while_redis_hangs_and_succeed_afterwards(
    on_own_redis: Served, own_redis: OwnRedis, outage_seconds: int
) -> None:
    assert add(on_own_redis.url, "before")[0] == 200
    twice_as_many_as_threads = Adding(on_own_redis.url, clients=16)
    with suspended(own_redis.server.pid), twice_as_many_as_threads as adding:
        time.sleep(outage_seconds)
        alive = status_of(f"{on_own_redis.url}/livez"), status_of(f"{on_own_redis.url}/readyz")
    assert set(adding.statuses) == {503}
    assert adding.slowest < 2
    assert alive == (200, 200)
    assert until(lambda: add(on_own_redis.url, "after")[0] == 200, seconds=5) < 5
    assert read(on_own_redis.url, ["before", "after"]) == {"before", "after"}


def status_of(url: str) -> int:
    return urllib3.request("GET", url, retries=False, timeout=3).status


def test_full_redis_refuses_adds_and_still_answers_reads_and_deletes(
    on_own_redis: Served, own_redis: OwnRedis
) -> None:
    for id_ in ("kept", "deleted"):
        assert add(on_own_redis.url, id_)[0] == 200
    with Redis.from_url(own_redis.server.url) as redis:
        redis.config_set("maxmemory", "1mb")
        assert add(on_own_redis.url, "refused")[0] == 503
        assert read(on_own_redis.url, ["kept", "deleted", "refused"]) == {"kept", "deleted"}
        gone = {"organizationId": "acme", "notificationIds": ["deleted"]}
        assert post(on_own_redis.url, "/v2/notifications/delete", {"data": gone})[0] == 200
        assert read(on_own_redis.url, ["kept", "deleted"]) == {"kept"}
        redis.config_set("maxmemory", "0")
    assert add(on_own_redis.url, "again")[0] == 200


def test_reload_replaces_the_worker_and_one_killed_afterwards_is_started_again(two_webs: Served) -> None:
    master = two_webs.process.pid
    until(lambda: workers_of(master), seconds=10)
    before = workers_of(master)
    two_webs.process.send_signal(signal.SIGHUP)
    most = 0

    def is_replaced() -> bool:
        nonlocal most
        now = workers_of(master)
        most = max(most, len(now))
        return len(now) == 1 and now != before

    until(is_replaced, seconds=20)
    assert most == 1
    second = workers_of(master)
    os.kill(second[0], signal.SIGKILL)
    until(lambda: workers_of(master) not in ([], second), seconds=10)
    assert "worker_ended" in two_webs.log


def worker(env: dict[str, str], log: Path, **more: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return start_child([*RESOLVER, "worker"], env=plain_environment({**env, **more}), stderr=output)


@pytest.mark.parametrize("commands", [2_000, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_two_workers_drain_thousands_and_send_nothing_twice(
    resolver_environment: dict[str, str],
    velt: Velt,
    outbox: Outbox,
    tmp_path: Path,
    commands: int,
) -> None:
    register_later(resolver_environment, "n", commands)
    workers = [worker(resolver_environment, tmp_path / "log") for _ in range(2)]
    try:
        until(lambda: drained(outbox), seconds=120)
    finally:
        for running in workers:
            stop_child(running)
    sent = [entry["notificationId"] for entry in velt.sent(ADD)]
    assert len(sent) == len(set(sent)) == commands


def test_changes_of_a_pending_add_reach_velt_after_it_in_order(
    resolver_environment: dict[str, str], velt: Velt, outbox: Outbox, redis: Redis, tmp_path: Path
) -> None:
    deferred = {**resolver_environment, "RESOLVER_REGISTRATION": "deferred", "RESOLVER_WORKER": "separate"}
    with serving(deferred, tmp_path / "web") as web:
        for id_ in ("kept", "deleted"):
            add(web.url, id_)
            for reader in ("ben", "dan"):
                entries = [{"id": id_, "readByUserIds": [reader]}]
                post(web.url, UPDATE, {"data": {"organizationId": "acme", "notifications": entries}})
        gone = {"organizationId": "acme", "notificationIds": ["deleted"]}
        assert post(web.url, DELETE, {"data": gone})[0] == 200
        drain = worker(resolver_environment, tmp_path / "log")
        try:
            until(lambda: drained(outbox), seconds=20)
        finally:
            stop_child(drain)
        assert read(web.url, ["kept", "deleted"]) == {"kept"}
    assert [entry["path"] for entry in velt.ledger() if "kept" in entry["raw"]] == [ADD, UPDATE, UPDATE]
    assert [entry["path"] for entry in velt.ledger() if "deleted" in entry["raw"]] == [DELETE]
    assert [item["id"] for item in velt.inbox("ben")] == ["kept"]


def test_refused_add_restores_the_former_content_and_refused_credentials_dead_letter_nothing(
    two_webs: Served, velt: Velt, outbox: Outbox
) -> None:
    assert add(two_webs.url, "n-1")[0] == 200
    velt.break_with(status=400, count=1)
    second = notification(notificationId="n-1", displayBodyMessage="second")
    assert post(two_webs.url, ADD, {"data": second})[0] == 400
    body = {"organizationId": "acme", "notificationIds": ["n-1"]}
    _, answer, _ = post(two_webs.url, "/api/velt/notifications/get", body)
    assert answer["data"]["n-1"]["displayBodyMessage"] == notification()["displayBodyMessage"]

    velt.break_with(status=500)
    waiting = [f"w-{n}" for n in range(20)]
    assert {add(two_webs.url, id_)[0] for id_ in waiting} == {200}
    velt.mend()
    began = len(velt.ledger(ADD))
    velt.break_with(status=403)  # on everything, as after a reset of Velt's token
    until(lambda: milliseconds_of_refusals(velt.ledger(ADD)[began:]) > 1000, "an attempt after a refusal")
    assert outbox.depth().dead == 0
    velt.mend()
    until(lambda: drained(outbox), seconds=40)
    assert outbox.depth().dead == 0
    assert_nothing_is_lost(two_webs.url, velt, [*waiting, "n-1"])


def milliseconds_of_refusals(entries: list[dict[str, Any]]) -> int:
    """Return the time from the first to the last request that Velt refused."""
    refused = [int(entry["at"]) for entry in entries if entry["status"] == 403]
    return refused[-1] - refused[0] if refused else 0


@pytest.mark.parametrize("shift", ["+300", "-300"])
def test_worker_whose_clock_is_wrong_loses_nothing(
    resolver_environment: dict[str, str], velt: Velt, outbox: Outbox, tmp_path: Path, shift: str
) -> None:
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("faketime is not installed")
    wrong_clock = {"LD_PRELOAD": str(libraries[0]), "FAKETIME": f"{shift}s", "DONT_FAKE_MONOTONIC": "1"}
    with serving(
        {**resolver_environment, "RESOLVER_REGISTRATION": "deferred", "RESOLVER_WORKER": "separate"},
        tmp_path / "web",
    ) as web:
        off = worker(resolver_environment, tmp_path / "log", **wrong_clock)
        right = worker(resolver_environment, tmp_path / "log")
        try:
            ids = [f"n-{n}" for n in range(100)]
            assert {add(web.url, id_)[0] for id_ in ids} == {200}
            until(lambda: drained(outbox), seconds=20)
        finally:
            stop_child(off)
            stop_child(right)
        assert_nothing_is_lost(web.url, velt, ids)
    assert len(velt.ledger(ADD)) == 100


def test_idle_worker_uses_less_than_a_hundredth_of_a_core(
    resolver_environment: dict[str, str], tmp_path: Path, outbox: Outbox
) -> None:
    idle = worker(resolver_environment, tmp_path / "log")
    try:
        until(outbox.has_live_worker, seconds=15)
        wait_until_idle(idle.pid)
        assert cpu_share(idle.pid, WATCHED_SECONDS) < 0.01
    finally:
        stop_child(idle)


def register_later(env: dict[str, str], prefix: str, commands: int) -> None:
    store = build_stores(load(env)).store
    for n in range(commands):
        payload = requests.parse(requests.ADD, notification(notificationId=f"{prefix}-{n}"))
        command = Command(Kind.REGISTER, f"{prefix}-{n}", split_add(payload, "full").forward)
        store.put(record(f"{prefix}-{n}"), Entry(command))


def change_later(env: dict[str, str], commands: int) -> None:
    store = build_stores(load(env)).store
    for n in range(commands):
        data = {"organizationId": "acme", "notifications": [{"id": f"bad-{n}", "readByUserIds": ["ben"]}]}
        store.enqueue("acme", f"bad-{n}", Entry(Command(Kind.CHANGE, f"bad-{n}", data)))


def seconds_to_register(outbox: Outbox, commands: int, left: int) -> float:
    """Return the seconds in which a worker delivers so many commands, with so many left that Velt refuses."""
    until(lambda: outbox.depth().waiting < commands + left, seconds=30)
    began = time.monotonic()
    until(lambda: outbox.depth().waiting <= left, seconds=60)
    return time.monotonic() - began


def test_commands_that_velt_always_fails_are_dead_lettered_beside_delivered_ones(
    resolver_environment: dict[str, str], velt: Velt, outbox: Outbox, tmp_path: Path
) -> None:
    velt.break_with(path=UPDATE, status=500)
    change_later(resolver_environment, 3)
    register_later(resolver_environment, "good", 100)
    running = worker(resolver_environment, tmp_path / "log", RESOLVER_OUTBOX_MAX_ATTEMPTS="2")
    try:
        seconds_to_register(outbox, 100, 3)
        more = iter(range(1000))

        def are_dead() -> bool:
            register_later(resolver_environment, f"more-{next(more)}", 1)
            return outbox.depth().dead == 3

        until(are_dead, seconds=60)
        until(lambda: drained(outbox), seconds=30)
    finally:
        stop_child(running)
    assert {dead.reason for dead in outbox.dead_letters.all()} == {
        "Velt failed at it 2 times: velt: INTERNAL (HTTP 500)"
    }


@pytest.mark.heavy
def test_commands_that_velt_always_fails_leave_the_others_four_fifths_of_their_pace(
    resolver_environment: dict[str, str], velt: Velt, outbox: Outbox, tmp_path: Path
) -> None:
    velt.break_with(path=UPDATE, status=500)
    seconds: dict[int, list[float]] = {0: [], 5: []}
    for turn, bad in enumerate([0, 5] * 3):
        change_later(resolver_environment, bad)
        register_later(resolver_environment, f"turn-{turn}", 800)
        running = worker(resolver_environment, tmp_path / f"log-{turn}")
        try:
            seconds[bad].append(seconds_to_register(outbox, 800, bad))
        finally:
            stop_child(running)
        for waiting in outbox.waiting.all():
            outbox.waiting.drop(waiting)
    assert min(seconds[0]) / min(seconds[5]) >= 0.8, seconds


def test_command_that_kills_its_worker_is_dead_lettered_after_five_attempts_and_delays_no_other(
    resolver_environment: dict[str, str], velt: Velt, outbox: Outbox, redis: Redis, tmp_path: Path
) -> None:
    """A delete hangs at Velt, and the worker that handles it is killed meanwhile."""
    deferred = {**resolver_environment, "RESOLVER_REGISTRATION": "deferred", "RESOLVER_WORKER": "separate"}
    velt.break_with(hang=60, path="/v2/notifications/delete")
    poison = {"organizationId": "acme", "notificationIds": ["poison"]}
    with serving(deferred, tmp_path / "web") as web:
        assert post(web.url, "/v2/notifications/delete", {"data": poison})[0] == 200
        (commands,) = keys_of(redis, "{p*c:*")
        (queue,) = keys_of(redis, "{p*q")
        for tries in range(1, 6):
            planned = worker(resolver_environment, tmp_path / "log")
            wanted = str(tries).encode()
            until(partial(_holds, redis, commands, wanted), seconds=15)
            os.kill(planned.pid, signal.SIGKILL)
            planned.wait()
            (member,) = redis.zrange(queue, 0, -1)
            redis.zadd(queue, {cast(bytes, member): 0})  # as if its lease had run out
        ids = [f"n-{n}" for n in range(100)]
        assert {add(web.url, id_)[0] for id_ in ids} == {200}
        last = worker(resolver_environment, tmp_path / "log")
        try:
            until(lambda: drained(outbox), seconds=20)
        finally:
            stop_child(last)
        assert_nothing_is_lost(web.url, velt, ids)
    assert [dead.reason for dead in outbox.dead_letters.all()] == ["came to no outcome 5 times"]


def _holds(redis: Redis, commands: bytes, claims: bytes) -> bool:
    return bool(redis.hget(commands.decode(), "a") == claims)
