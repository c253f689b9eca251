"""Rotation: everything is sealed with the new key, nothing is lost, and the old key can be removed."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.store.record import Record
from tests.support import Api, Velt, key, keys_of, stored
from tests.system.conftest import RESOLVER, plain_environment
from tests.waiting import until, wait_for

MakeApi = Callable[..., Api]
Environment = dict[str, str]
OLD, BOTH, NEW = f"k1:{key(1)}", f"k2:{key(2)},k1:{key(1)}", f"k2:{key(2)}"


def run(env: Environment, *arguments: str, **changes: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**env, **changes})


def usage(env: Environment, keys: str = BOTH) -> dict[str, tuple[int, int]]:
    done = run(env, "keys", "status", "--json", RESOLVER_MASTER_KEYS=keys)
    found = json.loads(done.output)["keys"]
    return {name: (used["records"], used["commands"]) for name, used in found.items()}


def rotate(env: Environment) -> Any:
    done = run(env, "keys", "rotate", "--json", RESOLVER_MASTER_KEYS=BOTH)
    assert done.exit_code == 0, done.output
    return json.loads(done.output.splitlines()[-1])


def fill(api: Api, count: int) -> None:
    for n in range(count):
        content = b'{"displayBodyMessage":"%d"}' % n
        api.services.store.put(Record("acme", f"n-{n}", "d", "ana", ("ben",), False, content=content))


def test_rotation_reseals_everything_with_the_new_key(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis
) -> None:
    fill(make_api(RESOLVER_MASTER_KEYS=OLD), 1200)
    before = {name: redis.pttl(name) for name in keys_of(redis)}
    assert usage(resolver_environment) == {"k2": (0, 0), "k1": (1200, 0)}
    assert rotate(resolver_environment) == {"done": 1200, "fresh": 1200, "overtaken": 0, "unreadable": 0}
    assert usage(resolver_environment) == {"k2": (1200, 0), "k1": (0, 0)}
    assert "Can be withdrawn" in run(resolver_environment, "keys", "status", RESOLVER_MASTER_KEYS=BOTH).output
    after = make_api(RESOLVER_MASTER_KEYS=NEW)
    assert after.read("n-0", "n-1199") == {
        f"n-{n}": {"notificationId": f"n-{n}", "displayBodyMessage": str(n)} for n in (0, 1199)
    }
    assert make_api(RESOLVER_MASTER_KEYS=OLD).read("n-0") == {}
    for name, left in before.items():
        assert left - 60_000 < redis.pttl(name) <= left


def test_rotation_reseals_queued_commands_and_dead_letters(
    make_api: MakeApi, resolver_environment: Environment, velt: Velt, redis: Redis
) -> None:
    velt.break_with(status=503)
    old = make_api(RESOLVER_MASTER_KEYS=OLD)
    old.add()
    old.add(displayBodyMessage="CANARY again")
    old.add(notificationId="n-2")
    line = wait_for(old.services.outbox.due, "a command is due")[0]
    claimed = old.services.outbox.claim(line)
    assert claimed is not None
    old.services.outbox.dead_letter(claimed, "for the test")
    rotate(resolver_environment)
    assert usage(resolver_environment)["k1"] == (0, 0)
    assert usage(resolver_environment)["k2"][1] >= 4, "three commands and a dead one, sealed twice"
    velt.mend()
    env = {**resolver_environment, "RESOLVER_MASTER_KEYS": NEW}
    assert run(env, "outbox", "retry", "--all").output.startswith("1 queued")
    drained(env)
    assert {item["notificationId"] for item in velt.sent("/v2/notifications/add")} == {"n-1", "n-2"}


def drained(env: Environment) -> None:
    def waiting() -> int:
        return int(json.loads(run(env, "outbox", "status", "--json").output)["waiting"])

    with subprocess.Popen([*RESOLVER, "worker"], env=plain_environment(env)) as worker:
        try:
            until(lambda: waiting() == 0, "no command waits")
        finally:
            worker.terminate()


def test_rotation_continues_after_an_interruption(
    make_api: MakeApi, resolver_environment: Environment
) -> None:
    fill(make_api(RESOLVER_MASTER_KEYS=OLD), 3000)
    env = plain_environment({**resolver_environment, "RESOLVER_MASTER_KEYS": BOTH})
    with subprocess.Popen([*RESOLVER, "keys", "rotate", "--rate", "1000"], env=env) as first:
        try:
            until(lambda: usage(resolver_environment)["k2"][0] >= 500, "some records have the new key")
        finally:
            first.kill()
    moved = usage(resolver_environment)["k2"][0]
    assert 500 <= moved < 3000
    assert rotate(resolver_environment)["done"] == 3000 - moved
    assert usage(resolver_environment)["k1"] == (0, 0)


def test_rotation_does_not_disturb_readers_and_writers(
    make_api: MakeApi, resolver_environment: Environment
) -> None:
    fill(make_api(RESOLVER_MASTER_KEYS=OLD), 2000)
    api = make_api(RESOLVER_MASTER_KEYS=BOTH)
    stop, failed, written = threading.Event(), [], {}

    def read_on() -> None:
        while not stop.is_set():
            if len(api.read(*(f"n-{n}" for n in range(1000, 1100)))) != 100:
                failed.append("read")

    def write_on() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            entry = {"id": f"n-{n % 500}", "displayBodyMessage": f"changed {n}"}
            reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
            if not reply.get_json().get("result", {}).get("data", {}).get(entry["id"], {}).get("success"):
                failed.append("write")
            written[entry["id"]] = entry["displayBodyMessage"]

    threads = [threading.Thread(target=work) for work in (read_on, read_on, write_on)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rotate(resolver_environment)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(written) > 10
    for id_, text in written.items():
        assert api.read(id_)[id_]["displayBodyMessage"] == text
    assert usage(resolver_environment)["k1"] == (0, 0)


def test_rotation_reports_unreadable_records_and_leaves_them(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis
) -> None:
    fill(make_api(RESOLVER_MASTER_KEYS=OLD), 3)
    damaged = keys_of(redis)[0]
    broken = stored(redis, damaged)[:-1] + b"?"
    redis.set(damaged, broken)
    done = run(resolver_environment, "keys", "rotate", "--json", RESOLVER_MASTER_KEYS=BOTH)
    said = json.loads(done.output.splitlines()[-1])
    assert (done.exit_code, said["done"], said["unreadable"]) == (1, 2, 1)
    assert stored(redis, damaged) == broken


@pytest.mark.parametrize(
    ("keys", "outcome", "text"),
    [(OLD, "ok", "k1 seals"), (BOTH, "warn", "still opens 2 records"), (NEW, "fail", "not among")],
)
def test_check_names_the_keys_in_use(
    make_api: MakeApi, resolver_environment: Environment, keys: str, outcome: str, text: str
) -> None:
    fill(make_api(RESOLVER_MASTER_KEYS=OLD), 2)
    findings = json.loads(run(resolver_environment, "check", "--json", RESOLVER_MASTER_KEYS=keys).output)
    assert [f for f in findings if f["about"] == "keys" and f["outcome"] == outcome and text in f["text"]]
