"""`check --live` shows what Velt stores, reports its open answers, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner
from redis import Redis

from resolver.audit.event import Actor
from resolver.audit.trail import AuditContext
from resolver.cli import main
from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from resolver.config import load
from resolver.notifications.probe import PREFIX, STALE_SECONDS, WORDS, Probe
from resolver.wiring import build_worker
from tests.support import API_KEY, JSON, VELT_TOKEN, Api, Velt, keys_of
from tests.system.conftest import plain_environment
from tests.waiting import until, wait_for

WHERE = ("--organization", "acme", "--document", "doc-1", "--user", "ben")
ADD, GET = "/v2/notifications/add", "/v2/notifications/get"
DELETE, UPDATE = "/v2/notifications/delete", "/v2/notifications/update"
CREDENTIALS = {"x-velt-api-key": API_KEY, "x-velt-auth-token": VELT_TOKEN}


class Found:
    """The findings of a run about Velt, and its exit status."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.live = [finding for finding in json.loads(output) if finding["about"] == "live"]

    def outcome(self, words: str) -> str:
        """Return the outcome of the one line that contains these words."""
        (finding,) = [finding for finding in self.live if words in finding["text"]]
        return str(finding["outcome"])

    @property
    def record(self) -> JSON:
        (shown,) = [finding["shown"] for finding in self.live if "shown" in finding]
        return dict(shown)


def live(env: dict[str, str]) -> Found:
    done = CliRunner().invoke(main, ["check", "--live", *WHERE, "--json"], env=env)
    return Found(done.exit_code, done.stdout)


def nothing_is_left(velt: Velt, redis: Redis) -> bool:
    return velt.control("GET", "notifications")["notifications"] == [] and keys_of(redis) == []


def test_live_shows_that_velt_holds_only_ids_and_removes_the_probe(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    found = live(resolver_environment)
    assert (found.status, {finding["outcome"] for finding in found.live}) == (0, {"ok"}), found.live
    assert found.record["id"].startswith(PREFIX)
    assert found.record["notifyUsers"] == [{"userId": "ben"}]
    assert found.outcome("the callback gives ben the content") == "ok"
    assert found.outcome("does not give it to another user of the organization") == "ok"
    assert found.outcome("an add without notifyUsers is accepted") == "ok"
    assert found.outcome("an update with blank texts is accepted") == "ok"
    assert found.outcome("leaves the notification to its other recipients") == "ok"
    assert found.outcome("the probe is removed, at Velt and here") == "ok"
    assert nothing_is_left(velt, redis)
    sent = "".join(entry["raw"] for entry in velt.ledger()).lower()
    assert not [word for word in WORDS if word in sent]
    assert velt.sent(ADD)[0]["notifyAll"] is False


def test_live_announces_the_probe_without_secrets(resolver_environment: dict[str, str], velt: Velt) -> None:
    done = CliRunner().invoke(main, ["check", "--live", *WHERE], env=resolver_environment)
    assert "Adding one notification at Velt" in done.stderr
    assert all(word in done.stderr for word in (PREFIX, "acme", "doc-1", "only to ben"))
    assert API_KEY not in done.output
    assert not [word for word in WORDS if word in done.output.lower()]


def test_live_masks_credentials_that_velt_repeats(resolver_environment: dict[str, str], velt: Velt) -> None:
    refusal = {"error": {"message": f"{API_KEY} may not", "status": "INVALID_ARGUMENT"}}
    velt.break_with(body=refusal, status=400, path=ADD)
    done = CliRunner().invoke(main, ["check", "--live", *WHERE], env=resolver_environment)
    assert (done.exit_code, "may not" in done.output, API_KEY in done.output) == (1, True, False)


@pytest.mark.parametrize(
    ("answers", "words", "outcome"),
    [
        ({"addAgain": "refuse"}, "refused with ALREADY_EXISTS", "ok"),
        ({"addAgain": "keep"}, "leaves one notification", "ok"),
        ({"addAgain": "duplicate"}, "makes a second notification", "warn"),
        ({"unknownUpdate": "refuse"}, "an update of an unknown id is reported (NOT_FOUND)", "ok"),
        ({"unknownUpdate": "success"}, "an update of an unknown id is confirmed", "warn"),
        ({"unknownDelete": "refuse"}, "a deletion of an unknown id is answered (NOT_FOUND)", "ok"),
        ({"unknownDelete": "success"}, "a deletion of an unknown id is answered (true)", "ok"),
        ({"getFlag": True}, "keeps isNotificationResolverUsed", "ok"),
        ({"getSource": False}, "omits notificationSource", "warn"),
        ({"displayFields": "invented"}, "fills displayBodyMessage", "warn"),
        ({"displayFields": "invented"}, "more about people than was sent (name)", "warn"),
        ({"addWithoutUsers": "refused"}, "an add without notifyUsers is refused", "warn"),
        ({"addWithoutUsers": "refused"}, "an add with an empty notifyUsers is accepted", "ok"),
        ({"addWithEmptyUsers": "refused"}, "an add with an empty notifyUsers is refused", "warn"),
        ({"blankUpdate": "refused"}, "an update with blank texts is refused", "warn"),
        ({"deleteForUser": "row"}, "removes the notification for everyone at Velt", "warn"),
        ({"lagMs": 2000}, "get lags", "warn"),
        ({"lagMs": 1500}, "leaves the notification to its other recipients", "ok"),
        ({"lagMs": 1500, "addAgain": "duplicate"}, "makes a second notification", "warn"),
    ],
    ids=str,
)
def test_live_reports_each_behaviour_of_velt_and_leaves_nothing(
    resolver_environment: dict[str, str],
    velt: Velt,
    redis: Redis,
    *,
    answers: JSON,
    words: str,
    outcome: str,
) -> None:
    velt.control("POST", "answers", answers)
    found = live(resolver_environment)
    assert (found.outcome(words), found.status) == (outcome, 0), found.live
    assert found.outcome("the probe is removed, at Velt and here") == "ok"
    assert nothing_is_left(velt, redis)


def test_live_fails_when_content_reached_velt(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    """As if another client had sent it to Velt directly, before a delayed get shows the probe."""
    velt.control("POST", "answers", {"lagMs": 2000})
    with started(resolver_environment) as process:
        (probe, *_) = wait_for(lambda: velt.control("GET", "notifications")["notifications"])
        entry = {"id": probe["id"], "displayBodyMessage": "The Zephyrine body"}
        data = {"organizationId": "acme", "notifications": [entry]}
        urllib3.request("POST", velt.url + UPDATE, json={"data": data}, headers=CREDENTIALS)
        found = ended(process)
    assert (found.status, found.outcome("CONTENT REACHED VELT")) == (1, "fail")
    assert "Zephyrine" in found.record["displayBodyMessage"]
    assert nothing_is_left(velt, redis)


def test_live_fails_when_velt_refuses_the_probe(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    velt.control("POST", "access", {"strict": True})
    found = live(resolver_environment)
    assert (found.status, found.outcome("refuses a notification in resolver mode (NOT_FOUND")) == (1, "fail")
    assert nothing_is_left(velt, redis)


def test_live_fails_when_velt_refuses_to_list(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    velt.break_with(
        path=GET, status=400, errorStatus="FAILED_PRECONDITION", message="Advanced queries are off."
    )
    found = live(resolver_environment)
    assert (found.status, found.outcome("could NOT be shown")) == (1, "fail")
    assert "Advanced queries are off." in str(found.live)
    assert found.outcome("the callback gives ben the content") == "ok"
    assert nothing_is_left(velt, redis)


def test_live_goes_on_when_velt_refuses_one_get(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    by_id_and_document = 3
    velt.break_with(path=GET, latencyMs=0, count=by_id_and_document)
    velt.break_with(path=GET, status=404, errorStatus="NOT_FOUND", count=2)
    found = live(resolver_environment)
    assert (found.status, found.outcome("get by user is refused (NOT_FOUND)")) == (0, "warn")
    assert found.outcome("get by document lists it") == "ok"
    assert found.outcome("the callback gives ben the content") == "ok"
    assert nothing_is_left(velt, redis)


def test_live_leaves_the_removal_in_the_outbox_during_an_outage(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis, drain: Callable[[], None]
) -> None:
    for path in (GET, UPDATE, DELETE):
        velt.break_with(path=path, status=500)
    found = live(resolver_environment)
    assert (found.status, found.outcome("its removal at Velt stays in the outbox")) == (1, "fail")
    assert keys_of(redis, "{p*}n:*") == []
    velt.mend()
    drain()
    assert nothing_is_left(velt, redis)


def test_live_leaves_nothing_when_an_outage_ends_meanwhile(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    velt.break_with(path=ADD, drop="after", count=1)
    velt.break_with(path=DELETE, status=503, count=1)
    found = live(resolver_environment)
    assert (found.status, found.outcome("waited in the outbox")) == (1, "fail")
    assert found.outcome("the probe is removed, at Velt and here") == "ok"
    assert nothing_is_left(velt, redis)


def test_live_removes_the_probe_at_velt_when_redis_fails_meanwhile(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    server = LocalRedis(tmp_path)
    velt.break_with(path=GET, latencyMs=700)
    try:
        with started({**resolver_environment, "REDIS_URL": server.url}) as process:
            wait_for(lambda: velt.ledger(GET)[1:])
            server.stop()
            found = ended(process)
    finally:
        server.stop()
    assert (found.status, found.outcome("Redis cannot be asked")) == (1, "fail")
    assert velt.control("GET", "notifications")["notifications"] == []


@pytest.mark.parametrize(
    ("number", "path", "times"),
    [
        (signal.SIGINT, ADD, 1),
        (signal.SIGTERM, ADD, 1),
        (signal.SIGINT, GET, 2),
        (signal.SIGHUP, ADD, 2),
        (signal.SIGTERM, UPDATE, 1),
        (signal.SIGINT, DELETE, 2),
    ],
)
def test_live_leaves_nothing_when_interrupted(
    resolver_environment: dict[str, str],
    velt: Velt,
    redis: Redis,
    *,
    number: signal.Signals,
    path: str,
    times: int,
) -> None:
    velt.break_with(latencyMs=300)
    with started(resolver_environment) as process:
        wait_for(lambda: len(velt.ledger(path)) >= times)
        process.send_signal(number)
        process.send_signal(number)
        found = ended(process)
    assert found.status == 1
    assert found.outcome("the probe is removed, at Velt and here") == "ok"
    assert path == DELETE or found.outcome("was interrupted") == "fail"
    assert nothing_is_left(velt, redis)


def test_live_removes_the_probe_when_the_terminal_closes(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    velt.break_with(path=DELETE, status=503, count=2)
    with started(resolver_environment, stderr=subprocess.PIPE) as process:
        wait_for(lambda: velt.ledger(DELETE))
        assert process.stderr
        process.stderr.close()

        def is_removed_after_another_hangup() -> bool:
            process.send_signal(signal.SIGHUP)
            return len(velt.ledger(DELETE)) >= 3

        until(is_removed_after_another_hangup, "the deletion that Velt accepts")
        assert ended(process).outcome("the probe is removed, at Velt and here") == "ok"
    assert nothing_is_left(velt, redis)


def test_live_notices_an_interrupt_while_listing_notifications(api: Api) -> None:
    for number in range(4):
        api.add(organizationId="globex", notificationId=f"n-{number}")
    have, who = api.services, Actor("ops", "somebody")
    probe = Probe(
        *("acme", "doc-1", "ben", have.add, have.delete, have.keyspace),
        lambda: AuditContext(have.trail, "cli", "check live", "", who),
    )
    looks = iter((False, False, True))
    assert probe.leftovers(until=lambda: next(looks)) == []
    assert next(looks, None) is None


def test_live_leaves_nothing_when_its_output_pipe_closes(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    with started(resolver_environment, "--live", *WHERE) as process:
        wait_for(lambda: velt.ledger(ADD))
        assert process.stdout
        process.stdout.close()
        process.wait(60)
    assert velt.sent(DELETE)
    assert nothing_is_left(velt, redis)


def test_live_removes_old_probes_of_killed_runs_only(
    api: Api, resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    old = f"{PREFIX}{int(time.time()) - STALE_SECONDS - 1}-0123456789ab"
    fresh = f"{PREFIX}{int(time.time())}-0123456789ab"
    for id_ in (old, fresh, "n-1"):
        api.add(notificationId=id_)
    found = live(resolver_environment)
    assert (found.status, found.outcome(f"left are removed: {old}")) == (0, "ok")
    assert api.read(old, fresh, "n-1").keys() == {fresh, "n-1"}
    assert {item["id"] for item in velt.inbox("ben")} == {fresh, "n-1"}


def test_live_leaves_content_that_expires_within_a_day_when_killed(
    resolver_environment: dict[str, str], velt: Velt, redis: Redis
) -> None:
    velt.break_with(path=GET, latencyMs=2000)
    with started(resolver_environment) as process:
        wait_for(lambda: velt.ledger(ADD))
        wait_for(lambda: velt.control("GET", "notifications")["notifications"])
        process.kill()
        process.wait(10)
    (name,) = keys_of(redis, "{p*}n:*")
    assert 0 < redis.pttl(name) <= 86_400_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--live",), "--organization, --document, --user"),
        (("--live", "--organization", "acme", "--user", " "), "--document, --user"),
        (("--live", "--organization", "a\udcffb", "--document", "d", "--user", "ben"), "--organization"),
        (("--organization", "acme"), "go with --live"),
    ],
)
def test_live_requires_organization_document_and_user(
    resolver_environment: dict[str, str], velt: Velt, given: tuple[str, ...], said: str
) -> None:
    done = CliRunner().invoke(main, ["check", *given], env=resolver_environment)
    assert (done.exit_code, said in done.output) == (2, True)
    assert velt.ledger() == []


def test_live_does_not_start_when_another_check_failed(
    resolver_environment: dict[str, str], velt: Velt
) -> None:
    found = live({**resolver_environment, "RESOLVER_DURABILITY": ""})
    assert (found.status, found.outcome("not started")) == (1, "fail")
    assert velt.ledger(ADD) == []


def test_live_skips_the_callback_without_a_token_secret(
    resolver_environment: dict[str, str],
) -> None:
    found = live({**resolver_environment, "RESOLVER_TOKEN_SECRET": ""})
    assert (found.status, found.outcome("the callback was not checked")) == (0, "warn")


@pytest.mark.parametrize(
    ("changes", "outcome", "status"),
    [
        ({"RESOLVER_READ_POLICY": "organization"}, "ok", 0),
        ({"RESOLVER_READ_POLICY": "document", "RESOLVER_TOKEN_DOCUMENTS_CLAIM": "docs"}, "warn", 0),
        ({"RESOLVER_READ_POLICY": "document", "RESOLVER_PERMISSION_URL": "http://127.0.0.1:1"}, "fail", 1),
        ({"RESOLVER_WITHHELD_HEADLINE": "Open the document"}, "ok", 0),
        ({"RESOLVER_REGISTRATION": "deferred", "RESOLVER_RATE_LIMIT": "1/minute"}, "ok", 0),
        ({"RESOLVER_SURFACES": "mirror", "RESOLVER_AUDIT_LOG": "-"}, "ok", 0),
    ],
    ids=str,
)
def test_live_reads_the_callback_with_the_configured_policy(
    resolver_environment: dict[str, str],
    velt: Velt,
    redis: Redis,
    *,
    changes: dict[str, str],
    outcome: str,
    status: int,
) -> None:
    with started({**resolver_environment, **changes}) as process:
        found = ended(process)
    assert found.status == status, found.live
    assert [f["outcome"] for f in found.live if "ben the content" in f["text"]] == [outcome]
    assert found.outcome("not give it to a user of another organization") == "ok"
    assert nothing_is_left(velt, redis)


@contextmanager
def started(
    env: dict[str, str], *options: str, stderr: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process of its own."""
    given = options or ("--live", *WHERE, "--json")
    process = start_child(
        [sys.executable, "-m", "resolver", "check", *given],
        env=plain_environment(env),
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        stop_child(process)


def ended(process: subprocess.Popen[bytes]) -> Found:
    assert process.stdout
    output = process.stdout.read().decode()
    return Found(process.wait(60), output)


@pytest.fixture
def drain(resolver_environment: dict[str, str], redis: Redis) -> Callable[[], None]:
    """A worker, until nothing waits any more."""

    def run() -> None:
        worker, stop = build_worker(load(resolver_environment)), threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            wait_for(lambda: not keys_of(redis, "{p*}q"))
        finally:
            stop.set()
            worker.wake()
            thread.join()

    return run
