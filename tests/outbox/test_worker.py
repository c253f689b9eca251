"""The worker against the sandbox drains, keeps order, waits out an outage, and dead-letters failures."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis
from redis.cluster import RedisCluster
from structlog.testing import capture_logs

from resolver.circuit_breaker import FIRST_SECONDS, RECENT_SECONDS, CircuitBreaker
from resolver.config import load
from resolver.deadline import Deadline
from resolver.outbox.queue import Outbox
from resolver.outbox.worker import ISOLATE_AFTER, POISON_AFTER
from resolver.store.keyspace import WAKE_CHANNEL, Queue
from resolver.wiring import build
from tests.clocks import Clock
from tests.notifications.conftest import Working, change, empty
from tests.support import JSON, Api, Velt, keys_of
from tests.waiting import until

ADD, UPDATE, DELETE = (f"/v2/notifications/{name}" for name in ("add", "update", "delete"))
SHORTEST_INTERVAL_MS = FIRST_SECONDS * 1000 / 2
"""The first interval of the circuit breaker, at the lower end of its jitter."""


def test_worker_sends_queued_registrations(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    for n in range(30):
        deferred.add(notificationId=f"n-{n}")
    with working():
        until(lambda: empty(outbox))
    assert {item["id"] for item in velt.inbox("ben")} == {f"n-{n}" for n in range(30)}
    assert len(velt.ledger(ADD)) == 30


def test_sleeping_worker_wakes_for_each_command_within_half_a_second(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    with working():
        until(lambda: is_listening(redis), "the worker listens")
        for n in range(3):
            deferred.add(notificationId=f"n-{n}")
            until(lambda: empty(outbox), f"command {n} is sent, and the worker sleeps again", seconds=0.5)
    assert len(velt.ledger(ADD)) == 3


def is_listening(redis: Redis) -> bool:
    """Whether a worker is subscribed to the channel that wakes it. A cluster's servers know only their own
    subscribers."""
    servers = [node.redis_connection for node in primaries_of(redis)] or [redis]
    return any(subscribers for server in servers for _, subscribers in server.pubsub_numsub(WAKE_CHANNEL))


def primaries_of(redis: Redis) -> list[Any]:
    return redis.get_primaries() if isinstance(redis, RedisCluster) else []  # type: ignore[unreachable]


def test_worker_sends_commands_of_one_notification_in_order(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    deferred.add()
    for n in range(5):
        change(deferred, readByUserIds=[f"reader-{n}"])
    with working():
        until(lambda: empty(outbox))
    told = [entry["path"] for entry in velt.ledger()]
    assert told == [ADD, *[UPDATE] * 5]
    read_by = [sent["notifications"][0]["readByUserIds"] for sent in velt.sent(UPDATE)]
    assert read_by == [[f"reader-{n}"] for n in range(5)]


def test_deleting_a_pending_add_leaves_no_content_and_no_notification_at_velt(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    deferred.add()
    deferred.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]})
    with working():
        until(lambda: empty(outbox))
    assert velt.ledger(ADD) == []
    assert velt.inbox("ben") == []
    assert keys_of(redis) == []


def test_deletion_by_a_recipient_cancels_a_pending_add(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    deferred.add()
    deferred.erase("n-1")
    with working():
        until(lambda: empty(outbox))
    assert velt.ledger(ADD) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"malformed": True},
        {"drop": "before"},
        {"drop": "after"},
        {"body": {"error": {"status": "INTERNAL", "message": "m"}}},
    ],
)
def test_worker_waits_out_an_outage_with_few_probes(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, fault: JSON
) -> None:
    velt.break_with(**fault)
    for n in range(20):
        deferred.add(notificationId=f"n-{n}")
    with working():
        # The one that finds out, then a probe each interval that doubles.
        until(lambda: len(velt.ledger(ADD)) == 1 + 3, "a few probes")
        velt.mend()
        probed = [entry["at"] for entry in velt.ledger(ADD)[1:4]]
        for interval, (one, next_one) in enumerate(pairwise(probed)):
            assert next_one - one >= SHORTEST_INTERVAL_MS * 2**interval
        until(lambda: empty(outbox))
    assert {item["id"] for item in velt.inbox("ben")} == {f"n-{n}" for n in range(20)}
    assert outbox.depth().dead == 0


def test_worker_probes_with_one_call_after_a_quiet_time(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    for n in range(20):
        deferred.add(notificationId=f"n-{n}")
    assert told_after_one_refusal(velt, outbox, working) == 20


@pytest.mark.single_server  # redis-py shuffles a cluster's nodes with what is replaced here
def test_worker_probes_with_a_command_that_calls_velt(
    deferred: Api,
    velt: Velt,
    outbox: Outbox,
    working: Working,
    *,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a command that can't be read would delay the others."""
    for n in range(20):
        deferred.add(notificationId=f"n-{n}")
    (unreadable, *_) = keys_of(redis, "{p*c:*")
    redis.hset(unreadable, "0", b"no command")

    def last(queues: list[Queue]) -> None:
        queues.sort(key=lambda queue: queue.commands.encode() == unreadable)

    monkeypatch.setattr("resolver.outbox.worker.random.shuffle", last)
    assert told_after_one_refusal(velt, outbox, working) == 19


def told_after_one_refusal(velt: Velt, outbox: Outbox, working: Working) -> int:
    """How many, when Velt says at the first call when to come back: none of them before that."""
    velt.break_with(retryAfter=1, latencyMs=100, count=1)
    with working():
        until(lambda: empty(outbox))
    refused, *told = velt.ledger(ADD)
    assert min(entry["at"] for entry in told) - refused["at"] >= 990
    return len(told)


def let_threads_start(monkeypatch: pytest.MonkeyPatch, may_start: Callable[[], bool]) -> None:
    """Have threads of the worker's pool start only when this says so."""
    start = threading.Thread.start

    def maybe(thread: threading.Thread) -> None:
        if "ThreadPool" in thread.name and not may_start():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", maybe)


def test_worker_goes_on_and_can_be_stopped_when_no_thread_starts_for_a_while(
    deferred: Api, outbox: Outbox, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        deferred.add(notificationId=f"n-{n}")
    until_then = time.monotonic() + 1.5
    let_threads_start(monkeypatch, lambda: time.monotonic() >= until_then)
    with working():
        until(lambda: empty(outbox), seconds=20)


@pytest.mark.parametrize(
    "chances",
    [
        # More failures to start one than there are permits: each must give its permit back.
        pytest.param([False], id="no thread ever"),
        pytest.param([False, False, True], id="a thread now and then"),
    ],
)
def test_worker_sends_everything_once_and_can_be_stopped_when_threads_cannot_be_started(
    deferred: Api,
    velt: Velt,
    outbox: Outbox,
    working: Working,
    *,
    monkeypatch: pytest.MonkeyPatch,
    chances: list[bool],
) -> None:
    for n in range(100):
        deferred.add(notificationId=f"n-{n}")
    chance = itertools.cycle(chances)
    let_threads_start(monkeypatch, lambda: next(chance))
    with working():
        until(lambda: empty(outbox), seconds=20)
    assert len(velt.ledger(ADD)) == 100


def test_slow_call_does_not_delay_others(deferred: Api, velt: Velt, outbox: Outbox, working: Working) -> None:
    clock = Clock()
    deferred.add()
    with working(CircuitBreaker("velt", clock=clock)):
        until(lambda: empty(outbox))
        velt.break_with(latencyMs=4000, path=UPDATE)
        change(deferred, readByUserIds=["ben"])
        until(lambda: velt.ledger(UPDATE), "the slow call is under way")
        clock.now += 2 * RECENT_SECONDS  # no call has succeeded just now, so the worker would probe
        deferred.add(notificationId="n-2")
        until(lambda: velt.inbox("ben") and len(velt.ledger(ADD)) == 2, seconds=1.5)
        assert not empty(outbox)


def test_worker_waits_for_velts_retry_after(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    velt.break_with(retryAfter=2, count=1)
    deferred.add()
    with working():
        until(lambda: empty(outbox))
    refused, told = velt.ledger(ADD)
    assert told["at"] - refused["at"] >= 1990


def test_worker_dead_letters_nothing_when_the_token_was_reset(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    velt.break_with(status=403)
    for n in range(5):
        deferred.add(notificationId=f"n-{n}")
    with working():
        until(lambda: len(velt.ledger(ADD)) == 3, "two refusals have been read")
        assert outbox.depth().dead == 0
        velt.mend()
        until(lambda: empty(outbox))
    assert len(velt.inbox("ben")) == 5


def test_refused_command_is_dead_lettered_and_delays_no_other(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    velt.break_with(status=400, message="no", count=1)
    deferred.add(notificationId="bad")
    with working():
        until(lambda: outbox.depth().dead == 1)
        for n in range(20):
            deferred.add(notificationId=f"n-{n}")
        until(lambda: empty(outbox))
    (dead,) = outbox.dead_letters.all()
    assert (dead.command and dead.command.notification, dead.reason) == ("bad", "INVALID_ARGUMENT")


def test_unreadable_command_is_dead_lettered(
    deferred: Api, outbox: Outbox, working: Working, redis: Redis
) -> None:
    deferred.add()
    redis.hset(keys_of(redis, "{p*c:*")[0], "0", b"garbage")
    with working():
        until(lambda: outbox.depth().dead == 1)
    assert empty(outbox)


def test_command_is_dead_lettered_after_five_abandoned_attempts(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    deferred.add(notificationId="poison")
    redis.hset(keys_of(redis, "{p*c:*")[0], "a", str(POISON_AFTER))
    for n in range(100):
        deferred.add(notificationId=f"n-{n}")
    with working():
        until(lambda: empty(outbox))
    assert [dead.reason for dead in outbox.dead_letters.all()] == ["came to no outcome 5 times"]
    assert len(velt.inbox("ben")) == 100


def test_removed_notification_is_removed_again_when_its_registration_was_sent_late(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, resolver_environment: dict[str, str]
) -> None:
    """A process stalls between Velt's yes and writing it down. Meanwhile its claim runs out, the worker
    registers the notification, and it is deleted. What the stalled one told must not stay."""
    deferred.add()
    services = build(load(resolver_environment))
    (queue,) = outbox.due()
    stalled = outbox.claim(queue)
    assert stalled
    assert stalled.command
    outbox.release(stalled)  # as if its lease had run out
    with working():
        until(lambda: empty(outbox))
        deferred.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]})
        until(lambda: empty(outbox))
        services.add.sender.send(stalled.command, Deadline.after(2))
        assert len(velt.inbox("ben")) == 1
        services.add.sender.complete(stalled)
        until(lambda: velt.inbox("ben") == [])


def test_delete_is_sent_when_a_reset_token_is_right_again(
    api: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    api.add()
    velt.break_with(status=403, count=1, path=DELETE)
    reply = api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]})
    assert reply.status_code == 403
    with working():
        until(lambda: velt.inbox("ben") == [])


def test_slow_refusal_rolls_back_the_add(api: Api, velt: Velt) -> None:
    api.add(displayBodyMessage="first")
    velt.break_with(status=400, latencyMs=1500, count=1)
    assert api.add(displayBodyMessage="second").status_code == 400
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "first"


def test_slow_success_is_sent_once(api: Api, velt: Velt, outbox: Outbox) -> None:
    velt.break_with(latencyMs=1500, count=1)
    assert api.add().get_json()["result"]["data"]["registration"] == "registered"
    assert empty(outbox)


def test_content_updates_do_not_take_probes(api: Api, velt: Velt) -> None:
    breaker = api.services.add.sender.breaker
    api.add()
    velt.break_with(drop="before", count=1)
    api.add(notificationId="n-2")
    assert breaker.wait_seconds(), "the circuit breaker is open"
    until(lambda: not breaker.wait_seconds(), "a probe is allowed", seconds=5)
    change(api, displayBodyMessage="x")
    assert api.add(notificationId="n-3").get_json()["result"]["data"]["registration"] == "registered"


def test_refusal_of_a_gateway_dead_letters_nothing(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    velt.break_with(status=404, errorStatus="NO_SUCH_ROUTE", count=2)
    deferred.add()
    with working():
        until(lambda: empty(outbox))
    assert outbox.depth().dead == 0


def test_two_workers_send_nothing_twice(deferred: Api, velt: Velt, outbox: Outbox, working: Working) -> None:
    for n in range(300):
        deferred.add(notificationId=f"n-{n}")
    with working(), working():
        until(lambda: empty(outbox), seconds=30)
    assert len(velt.ledger(ADD)) == 300
    assert len({sent["notificationId"] for sent in velt.sent(ADD)}) == 300


def test_worker_recovers_when_redis_is_back(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    with working():
        until(lambda: is_listening(redis), "the worker listens")
        redis.client_kill_filter(_type="normal", skipme=True)
        redis.client_kill_filter(_type="pubsub", skipme=True)
        until(lambda: is_listening(redis), "the worker listens again")
        deferred.add()
        until(lambda: empty(outbox))
    assert len(velt.inbox("ben")) == 1


def test_worker_logs_a_wrong_database_at_intervals(
    make_api: Callable[..., Api], working: Working, redis: Redis
) -> None:
    make_api(RESOLVER_LOG_LEVEL="warning").add()
    with capture_logs() as logged, working(VELT_API_KEY="another-velt-api-key"):
        before = looks_whose_it_is(redis)
        # Two in each round.
        until(lambda: looks_whose_it_is(redis) - before > 8)
    events = Counter(line["event"] for line in logged)
    assert events == {"worker_waits": 1, "worker_heartbeat_failed": 1}


def looks_whose_it_is(redis: Redis) -> int:
    return int(redis.info("commandstats")["cmdstat_get"]["calls"])


@pytest.fixture
def four_outbound_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.wiring.OUTBOUND_CALLS", 4)


def test_inline_slots_limit_requests_that_wait_for_velt(
    four_outbound_calls: None, api: Api, velt: Velt
) -> None:
    velt.break_with(latencyMs=600, path=ADD)
    states: list[str] = []

    def add(n: int) -> None:
        states.append(api.add(notificationId=f"n-{n}").get_json()["result"]["data"]["registration"])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["pending"] * 4 + ["registered"] * 4


def test_next_batch_sends_at_once_when_a_batch_ran_out_of_time(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    for n in range(64):
        deferred.add(notificationId=f"n-{n}")
    velt.break_with(latencyMs=300)  # of seven calls in a batch, there is time for four
    with working():
        until(lambda: empty(outbox), "all is sent, sooner than a claim runs out", seconds=10)
    assert len(velt.ledger(ADD)) == 64


def test_stopped_worker_releases_commands_that_it_has_not_sent(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    for n in range(64):
        deferred.add(notificationId=f"n-{n}")
    velt.break_with(latencyMs=500)
    with working():
        until(lambda: velt.ledger(ADD))
    told = len(velt.ledger(ADD))
    assert told < 64
    depth = outbox.depth()
    assert (depth.waiting, depth.due) == (64 - told, 64 - told)


def test_isolated_command_is_not_claimed_before_its_turn(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    """Otherwise a claim would expire while other commands are sent, and a command that kills the worker would
    add an abandoned attempt to all claimed ones."""
    for n in range(64):
        deferred.add(notificationId=f"n-{n}")
    for name in keys_of(redis, "{p*c:*"):
        redis.hset(name, "a", str(ISOLATE_AFTER))
    velt.break_with(latencyMs=300)
    with working():
        until(lambda: velt.ledger(ADD))
        claimed = [name for name in keys_of(redis, "{p*c:*") if redis.hget(name, "k")]
        assert len(claimed) <= 1
