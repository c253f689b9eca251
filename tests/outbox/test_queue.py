"""The lines of commands, on a real Redis: who holds what, in which order, and what comes back."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.deadline import CURRENT, Deadline
from resolver.outbox.queue import Claimed, Outbox, claimed_by, new_claim
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.records import RecordStore, Retention, Written
from tests.store.conftest import INDEX, guard_of, keyring, record
from tests.support import keys_of

DAY = 86_400


class Stores:
    def __init__(self, url: str, retention_days: int = 90) -> None:
        client = connect(Secret.of(url), connections=4)
        keyspace, envelope = Keyspace(INDEX), Envelope(keyring("k1"))
        guard = guard_of(client, keyspace, envelope)
        self.store = RecordStore(client, guard, keyspace, envelope, Retention(retention_days))
        self.outbox = Outbox(client, guard, envelope)

    def put(self, n: int = 1, *, mine: bool = False, lease_ms: int = 5000, id_: str = "n-1") -> Written:
        claim = new_claim() if mine else ""
        return self.store.put(
            record(id_, content=b'{"v":%d}' % n), Entry(register(n, id_), claim=claim, lease_ms=lease_ms)
        )

    def next(self) -> Claimed:
        (line,) = self.outbox.due()
        claimed = self.outbox.claim(line)
        assert claimed
        return claimed

    def content(self, id_: str = "n-1") -> bytes:
        return self.store.read("acme", [id_])[id_].content


def register(n: int, id_: str = "n-1") -> Command:
    return Command(Kind.REGISTER, id_, {"organizationId": "acme", "n": n})


def remove(id_: str = "n-1") -> Command:
    return Command(Kind.REMOVE, id_, {"organizationId": "acme", "notificationIds": [id_]})


@pytest.fixture
def stores(redis_server: LocalRedis, redis: Redis) -> Stores:
    return Stores(redis_server.url)


def test_a_command_is_due_at_once_and_claimed_by_one(stores: Stores) -> None:
    stores.put()
    (line,) = stores.outbox.due()
    first, second = stores.outbox.claim(line), stores.outbox.claim(line)
    assert first
    assert first.command == register(1)
    assert second is None
    assert stores.outbox.due() == []


def test_a_queue_member_that_this_service_never_writes_holds_up_no_other(
    stores: Stores, redis: Redis
) -> None:
    redis.zadd("{p00}q", {b"\xff\xfe": 1})
    stores.put()
    assert stores.next().command == register(1)


def test_what_is_finished_leaves_nothing_behind(stores: Stores, redis: Redis) -> None:
    stores.put()
    assert stores.outbox.finish(stores.next())
    assert stores.outbox.due() == []
    assert len(keys_of(redis)) == 1  # the record


def test_whoever_writes_may_claim_in_the_same_step(stores: Stores) -> None:
    written = stores.put(mine=True)
    assert written.claim
    assert stores.outbox.due() == []
    assert stores.outbox.finish(claimed_by(written, register(1)))


def test_behind_a_waiting_command_nobody_claims_at_once_and_order_holds(stores: Stores) -> None:
    stores.put(1)
    assert not stores.put(2, mine=True).claim
    seen = []
    for _ in range(2):
        claimed = stores.next()
        seen.append(claimed.command)
        stores.outbox.finish(claimed)
    assert seen == [register(1), register(2)]


def test_a_claim_that_ran_out_comes_back_and_the_old_one_counts_no_more(stores: Stores) -> None:
    written = stores.put(mine=True, lease_ms=50)
    time.sleep(0.1)
    again = stores.next()
    assert (again.command, again.abandoned_attempts) == (register(1), 1)
    late = claimed_by(written, register(1))
    assert not stores.outbox.finish(late)
    assert not stores.outbox.release(late)
    assert not stores.outbox.dead_letter(late, "x")
    assert not stores.outbox.roll_back(late)
    assert stores.content() == b'{"v":1}'
    assert stores.outbox.finish(again)


def test_what_is_given_back_is_due_again_and_its_count_starts_anew(stores: Stores) -> None:
    stores.put()
    stores.outbox.release(stores.next(), 30)
    assert stores.outbox.due() == []
    time.sleep(0.05)
    assert stores.next().abandoned_attempts == 0


def test_given_back_untried_it_is_as_suspicious_as_before_and_can_still_be_taken_back(
    stores: Stores,
) -> None:
    stores.outbox.finish(claimed_by(stores.put(1, mine=True), register(1)))
    stores.put(2, mine=True, lease_ms=20)
    time.sleep(0.05)
    stores.outbox.release(stores.next(), tried=False)
    again = stores.next()
    assert again.abandoned_attempts == 1
    stores.outbox.dead_letter(again, "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":1}'


def test_what_is_given_up_makes_way_and_keeps_its_reason(stores: Stores, redis: Redis) -> None:
    stores.put(1)
    stores.put(2)
    stores.outbox.dead_letter(stores.next(), "INVALID_ARGUMENT")
    assert stores.next().command == register(2)
    (dead,) = stores.outbox.dead()
    assert (dead.command, dead.reason) == (register(1), "INVALID_ARGUMENT")
    assert abs(dead.at / 1000 - time.time()) < 60
    stores.outbox.dead_letters.discard(dead)
    assert list(stores.outbox.dead()) == []


def test_nothing_in_line_or_among_the_dead_is_readable(stores: Stores, redis: Redis) -> None:
    stores.put(1)
    stores.put(2)
    stores.outbox.dead_letter(stores.next(), "the reason")
    for name in keys_of(redis, "*"):
        dump = redis.dump(name) or b""
        assert not [word for word in (b"acme", b"n-1", b"register", b"the reason") if word in dump]


def test_a_command_that_does_not_open_is_still_claimed(stores: Stores, redis: Redis) -> None:
    stores.put()
    (name,) = keys_of(redis, "{p*c:*")
    redis.hset(name, "0", b"garbage")
    claimed = stores.next()
    assert claimed.command is None
    stores.outbox.dead_letter(claimed, "cannot be read")
    (dead,) = stores.outbox.dead()
    assert dead.command is None


def test_a_removal_takes_the_place_of_what_was_never_attempted(stores: Stores) -> None:
    stores.put(1)
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_UNSENT))
    claimed = stores.next()
    assert claimed.command == remove()
    stores.outbox.finish(claimed)
    assert stores.outbox.due() == []
    assert stores.store.read("acme", ["n-1"]) == {}


def test_a_removal_follows_what_is_being_attempted(stores: Stores) -> None:
    written = stores.put(1, mine=True)
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_UNSENT))
    assert stores.outbox.due() == []
    stores.outbox.finish(claimed_by(written, register(1)))
    assert stores.next().command == remove()


def test_a_removal_if_something_waits_is_none_when_nothing_does(stores: Stores, redis: Redis) -> None:
    stores.outbox.finish(claimed_by(stores.put(mine=True), register(1)))
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_IF_QUEUED))
    assert stores.outbox.due() == []
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_IF_QUEUED))
    assert stores.next().command == remove()


def test_taking_back_the_first_add_leaves_nothing(stores: Stores, redis: Redis) -> None:
    written = stores.put(mine=True)
    stores.outbox.roll_back(claimed_by(written, register(1)))
    assert keys_of(redis) == []


@pytest.mark.parametrize(("before", "after"), [(7, 7), (0, 90), (90, 0), (90, 1)])
def test_taking_back_a_second_add_restores_the_first_with_the_time_it_had(
    redis_server: LocalRedis, redis: Redis, before: int, after: int
) -> None:
    first = Stores(redis_server.url, before)
    first.outbox.finish(claimed_by(first.put(1, mine=True), register(1)))
    (name,) = keys_of(redis)
    had = redis.ttl(name)
    stores = Stores(redis_server.url, after)
    written = stores.put(2, mine=True)
    stores.outbox.roll_back(claimed_by(written, register(2)))
    assert stores.content() == b'{"v":1}'
    assert had - 5 < redis.ttl(name) <= had


def test_taking_back_never_undoes_what_somebody_wrote_since(stores: Stores) -> None:
    written = stores.put(1, mine=True)
    stores.put(2)
    stores.outbox.roll_back(claimed_by(written, register(1)))
    assert stores.content() == b'{"v":2}'
    assert stores.next().command == register(2)


def test_an_add_whose_request_died_before_its_answer_is_taken_back_when_it_is_given_up(
    stores: Stores,
) -> None:
    stores.outbox.finish(claimed_by(stores.put(1, mine=True), register(1)))
    stores.put(2, mine=True, lease_ms=20)
    time.sleep(0.05)
    stores.outbox.dead_letter(stores.next(), "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":1}'


def test_an_add_that_was_answered_is_kept_when_it_is_given_up(stores: Stores) -> None:
    stores.outbox.finish(claimed_by(stores.put(1, mine=True), register(1)))
    stores.outbox.release(claimed_by(stores.put(2, mine=True), register(2)))
    stores.outbox.dead_letter(stores.next(), "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":2}'


def test_the_dead_of_one_notification_do_not_displace_each_other(stores: Stores) -> None:
    for n in (1, 2, 3):
        stores.put(n)
        stores.outbox.dead_letter(stores.next(), f"reason {n}")
    assert {dead.reason for dead in stores.outbox.dead()} == {"reason 1", "reason 2", "reason 3"}


def test_a_full_redis_lets_what_waits_be_claimed_given_back_and_finished(
    stores: Stores, redis: Redis
) -> None:
    stores.put()
    stores.outbox.heartbeat()
    try:
        redis.config_set("maxmemory", "1mb")
        stores.outbox.release(stores.next())
        stores.outbox.release(stores.next(), tried=False)
        assert stores.outbox.finish(stores.next())
        stores.outbox.heartbeat()
    finally:
        redis.config_set("maxmemory", "0")
    assert stores.outbox.due() == []


def test_what_came_of_a_command_is_written_down_however_late_it_is(stores: Stores) -> None:
    written = stores.put(mine=True)
    token = CURRENT.set(Deadline.after(0.01))
    try:
        assert stores.outbox.finish(claimed_by(written, register(1)))
    finally:
        CURRENT.reset(token)


def test_the_depth_counts_what_waits_and_how_long(stores: Stores) -> None:
    for n in range(5):
        stores.put(id_=f"n-{n}")
    stores.put(mine=True, id_="claimed")
    time.sleep(0.05)
    depth = stores.outbox.depth()
    assert (depth.waiting, depth.due, depth.dead) == (6, 5, 0)
    assert 50 <= depth.oldest_ms < 5000


def test_a_workers_sign_of_life_is_seen(stores: Stores, redis: Redis) -> None:
    assert not stores.outbox.has_live_worker()
    stores.outbox.heartbeat()
    assert stores.outbox.has_live_worker()


def test_a_line_that_redis_refuses_costs_no_other_its_claim(stores: Stores, redis: Redis) -> None:
    for id_ in ("n-1", "n-2", "n-3"):
        stores.put(id_=id_)
    lines = stores.outbox.due()
    broken = next(line for line in lines if line.commands.encode() == keys_of(redis, "{p*c:*")[0])
    redis.set(broken.commands, "no line")
    claims, _ = stores.outbox.claim_all(lines)
    assert {claimed.line for claimed in claims} == set(lines) - {broken}
    assert stores.outbox.finish_all([*claims, Claimed(broken, "c", None)]) == []
    assert stores.outbox.due() == [broken]
