"""Queues of commands on a real Redis: order, claims and leases, rollback, dead letters."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.deadline import CURRENT, Deadline
from resolver.outbox.queue import Claim, Outbox, claim_of, new_claim
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.connect import connect
from resolver.store.keyspace import Keyspace
from resolver.store.records import RecordStore, Retention, Written
from tests.store.conftest import INDEX, guard_of, keyring, record
from tests.support import keys_of
from tests.waiting import until

DAY = 86_400


class Stores:
    def __init__(self, url: str, retention_days: int = 90) -> None:
        client = connect(Secret.of(url), connections=4)
        keyspace, envelope = Keyspace(INDEX), Envelope(keyring("k1"))
        guard = guard_of(client, keyspace, envelope)
        self.store = RecordStore(client, guard, keyspace, envelope, Retention(retention_days))
        self.outbox = Outbox(client, guard, envelope)

    def put(self, n: int = 1, *, claimed: bool = False, lease_ms: int = 5000, id_: str = "n-1") -> Written:
        claim = new_claim() if claimed else ""
        return self.store.put(
            record(id_, content=b'{"v":%d}' % n), Entry(register(n, id_), claim=claim, lease_ms=lease_ms)
        )

    def next(self) -> Claim:
        (queue,) = self.outbox.due()
        claimed = self.outbox.claim(queue)
        assert claimed
        return claimed

    def next_when_due(self) -> Claim:
        """Wait until a lease has run out, or a delay is over: both go by the clock of Redis."""
        until(self.outbox.due, "a command is due", seconds=5)
        return self.next()

    def content(self, id_: str = "n-1") -> bytes:
        return self.store.read("acme", [id_])[id_].content


def register(n: int, id_: str = "n-1") -> Command:
    return Command(Kind.REGISTER, id_, {"organizationId": "acme", "n": n})


def remove(id_: str = "n-1") -> Command:
    return Command(Kind.REMOVE, id_, {"organizationId": "acme", "notificationIds": [id_]})


@pytest.fixture
def stores(redis_server: LocalRedis, redis: Redis) -> Stores:
    return Stores(redis_server.url)


def test_command_is_due_at_once_and_claimed_once(stores: Stores) -> None:
    stores.put()
    (queue,) = stores.outbox.due()
    first, second = stores.outbox.claim(queue), stores.outbox.claim(queue)
    assert first
    assert first.command == register(1)
    assert second is None
    assert stores.outbox.due() == []


def test_unknown_schedule_member_does_not_hold_up_others(stores: Stores, redis: Redis) -> None:
    redis.zadd("{p00}q", {b"\xff\xfe": 1})
    stores.put()
    assert stores.next().command == register(1)


def test_completed_command_leaves_only_the_record(stores: Stores, redis: Redis) -> None:
    stores.put()
    assert stores.outbox.complete(stores.next())
    assert stores.outbox.due() == []
    assert len(keys_of(redis)) == 1  # the record


def test_write_claims_its_own_command_in_the_same_step(stores: Stores) -> None:
    written = stores.put(claimed=True)
    assert written.claim
    assert stores.outbox.due() == []
    assert stores.outbox.complete(claim_of(written, register(1)))


def test_commands_are_claimed_in_order_when_one_is_queued(stores: Stores) -> None:
    stores.put(1)
    assert not stores.put(2, claimed=True).claim
    seen = []
    for _ in range(2):
        claimed = stores.next()
        seen.append(claimed.command)
        stores.outbox.complete(claimed)
    assert seen == [register(1), register(2)]


def test_lost_claim_changes_nothing_when_its_lease_ran_out(stores: Stores) -> None:
    written = stores.put(claimed=True, lease_ms=50)
    again = stores.next_when_due()
    assert (again.command, again.abandoned_attempts) == (register(1), 1)
    late = claim_of(written, register(1))
    assert not stores.outbox.complete(late)
    assert not stores.outbox.release(late)
    assert not stores.outbox.dead_letter(late, "x")
    assert not stores.outbox.roll_back(late)
    assert stores.content() == b'{"v":1}'
    assert stores.outbox.complete(again)


def test_released_command_is_due_again_without_abandoned_attempts(stores: Stores) -> None:
    stores.put()
    stores.outbox.release(stores.next(), 200)
    assert stores.outbox.due() == []
    assert stores.next_when_due().abandoned_attempts == 0


def test_released_command_keeps_its_abandoned_attempts_and_rollback_when_untried(
    stores: Stores,
) -> None:
    stores.outbox.complete(claim_of(stores.put(1, claimed=True), register(1)))
    stores.put(2, claimed=True, lease_ms=20)
    stores.outbox.release(stores.next_when_due(), tried=False)
    again = stores.next()
    assert again.abandoned_attempts == 1
    stores.outbox.dead_letter(again, "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":1}'


def test_dead_letter_makes_way_and_keeps_its_reason(stores: Stores, redis: Redis) -> None:
    stores.put(1)
    stores.put(2)
    stores.outbox.dead_letter(stores.next(), "INVALID_ARGUMENT")
    assert stores.next().command == register(2)
    (dead,) = stores.outbox.dead_letters.all()
    assert (dead.command, dead.reason) == (register(1), "INVALID_ARGUMENT")
    assert abs(dead.at / 1000 - time.time()) < 60
    stores.outbox.dead_letters.discard(dead)
    assert list(stores.outbox.dead_letters.all()) == []


def test_queued_commands_and_dead_letters_are_sealed(stores: Stores, redis: Redis) -> None:
    stores.put(1)
    stores.put(2)
    stores.outbox.dead_letter(stores.next(), "the reason")
    for name in keys_of(redis, "*"):
        dump = redis.dump(name) or b""
        assert not [word for word in (b"acme", b"n-1", b"register", b"the reason") if word in dump]


def test_command_is_claimed_when_it_cannot_be_opened(stores: Stores, redis: Redis) -> None:
    stores.put()
    (name,) = keys_of(redis, "{p*c:*")
    redis.hset(name, "0", b"garbage")
    claimed = stores.next()
    assert claimed.command is None
    stores.outbox.dead_letter(claimed, "cannot be read")
    (dead,) = stores.outbox.dead_letters.all()
    assert dead.command is None


def test_replace_unsent_replaces_commands_that_were_never_attempted(stores: Stores) -> None:
    stores.put(1)
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_UNSENT))
    claimed = stores.next()
    assert claimed.command == remove()
    stores.outbox.complete(claimed)
    assert stores.outbox.due() == []
    assert stores.store.read("acme", ["n-1"]) == {}


def test_replace_unsent_appends_to_a_claimed_command(stores: Stores) -> None:
    written = stores.put(1, claimed=True)
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_UNSENT))
    assert stores.outbox.due() == []
    stores.outbox.complete(claim_of(written, register(1)))
    assert stores.next().command == remove()


def test_replace_if_queued_adds_nothing_when_the_queue_is_empty(stores: Stores, redis: Redis) -> None:
    stores.outbox.complete(claim_of(stores.put(claimed=True), register(1)))
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_IF_QUEUED))
    assert stores.outbox.due() == []
    stores.put(2)
    stores.store.remove("acme", "n-1", Entry(remove(), Place.REPLACE_IF_QUEUED))
    assert stores.next().command == remove()


def test_rolling_back_the_first_add_leaves_nothing(stores: Stores, redis: Redis) -> None:
    written = stores.put(claimed=True)
    stores.outbox.roll_back(claim_of(written, register(1)))
    assert keys_of(redis) == []


@pytest.mark.parametrize(("before", "after"), [(7, 7), (0, 90), (90, 0), (90, 1)])
def test_rolling_back_a_second_add_restores_the_first_with_its_expiry(
    redis_server: LocalRedis, redis: Redis, before: int, after: int
) -> None:
    first = Stores(redis_server.url, before)
    first.outbox.complete(claim_of(first.put(1, claimed=True), register(1)))
    (name,) = keys_of(redis)
    had = redis.ttl(name)
    stores = Stores(redis_server.url, after)
    written = stores.put(2, claimed=True)
    stores.outbox.roll_back(claim_of(written, register(2)))
    assert stores.content() == b'{"v":1}'
    assert had - 5 < redis.ttl(name) <= had


def test_rolling_back_keeps_a_later_write(stores: Stores) -> None:
    written = stores.put(1, claimed=True)
    stores.put(2)
    stores.outbox.roll_back(claim_of(written, register(1)))
    assert stores.content() == b'{"v":2}'
    assert stores.next().command == register(2)


def test_dead_letter_rolls_back_an_add_that_was_not_answered(
    stores: Stores,
) -> None:
    stores.outbox.complete(claim_of(stores.put(1, claimed=True), register(1)))
    stores.put(2, claimed=True, lease_ms=20)
    stores.outbox.dead_letter(stores.next_when_due(), "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":1}'


def test_dead_letter_keeps_an_add_that_was_answered(stores: Stores) -> None:
    stores.outbox.complete(claim_of(stores.put(1, claimed=True), register(1)))
    stores.outbox.release(claim_of(stores.put(2, claimed=True), register(2)))
    stores.outbox.dead_letter(stores.next(), "INVALID_ARGUMENT")
    assert stores.content() == b'{"v":2}'


def test_dead_letters_of_one_notification_are_all_kept(stores: Stores) -> None:
    for n in (1, 2, 3):
        stores.put(n)
        stores.outbox.dead_letter(stores.next(), f"reason {n}")
    assert {dead.reason for dead in stores.outbox.dead_letters.all()} == {"reason 1", "reason 2", "reason 3"}


def test_full_redis_permits_claim_release_and_complete(stores: Stores, redis: Redis) -> None:
    stores.put()
    stores.outbox.heartbeat()
    try:
        redis.config_set("maxmemory", "1mb")
        stores.outbox.release(stores.next())
        stores.outbox.release(stores.next(), tried=False)
        assert stores.outbox.complete(stores.next())
        stores.outbox.heartbeat()
    finally:
        redis.config_set("maxmemory", "0")
    assert stores.outbox.due() == []


def test_command_is_completed_when_the_deadline_is_over(stores: Stores) -> None:
    written = stores.put(claimed=True)
    token = CURRENT.set(Deadline.after(0.01))
    try:
        assert stores.outbox.complete(claim_of(written, register(1)))
    finally:
        CURRENT.reset(token)


def test_depth_counts_queues_and_their_age(stores: Stores) -> None:
    for n in range(5):
        stores.put(id_=f"n-{n}")
    stores.put(claimed=True, id_="claimed")
    until(lambda: stores.outbox.depth().oldest_ms >= 50, "the oldest is that old", seconds=5)
    depth = stores.outbox.depth()
    assert (depth.waiting, depth.due, depth.dead) == (6, 5, 0)
    assert 50 <= depth.oldest_ms < 5000


def test_heartbeat_shows_a_live_worker(stores: Stores, redis: Redis) -> None:
    assert not stores.outbox.has_live_worker()
    stores.outbox.heartbeat()
    assert stores.outbox.has_live_worker()


def test_queues_are_claimed_when_redis_refuses_another(stores: Stores, redis: Redis) -> None:
    for id_ in ("n-1", "n-2", "n-3"):
        stores.put(id_=id_)
    queues = stores.outbox.due()
    broken = next(queue for queue in queues if queue.commands.encode() == keys_of(redis, "{p*c:*")[0])
    redis.set(broken.commands, "no hash")
    claims, _ = stores.outbox.claim_all(queues)
    assert {claim.queue for claim in claims} == set(queues) - {broken}
    assert stores.outbox.complete_all([*claims, Claim(broken, "c", None)]) == []
    assert stores.outbox.due() == [broken]
