"""Erasure beside every other operation that moves data about a person, between any two messages that the
erasure sends to Redis. docs/privacy.md argues why this holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from redis import Redis

from resolver.config import load
from resolver.outbox.dead_letters import DeadLetter
from resolver.outbox.queue import Claim, claim_of, new_claim
from resolver.privacy.eraser import Eraser
from resolver.privacy.erasure_request import Phase
from resolver.store.command import Command, Entry, Kind
from resolver.store.keyspace import COMMANDS_PATTERN, dead_letters_of, queue_of
from resolver.store.record import Record
from resolver.wiring import Stores, build_stores
from tests.boundaries import Boundaries, boundaries, patience
from tests.erasing import erasure_request, filed
from tests.support import keys_of

pytestmark = pytest.mark.single_server

Action = Callable[[], object]
Environment = dict[str, str]
LONG_MS = 60_000


@pytest.fixture
def stores(resolver_environment: Environment) -> Iterator[Stores]:
    with patience():
        yield build_stores(load(resolver_environment))


@pytest.fixture
def between(resolver_environment: Environment) -> Iterator[Boundaries]:
    with boundaries(resolver_environment["REDIS_URL"]) as found:
        yield found


def record(audience: str) -> Record:
    return Record("acme", "n-1", "d", "ana", (audience,), False, content=b'{"displayBodyMessage":"hello"}')


def registration(audience: str) -> Command:
    data = {"organizationId": "acme", "notifyUsers": [{"userId": audience}, {"userId": "zoe"}]}
    return Command(Kind.REGISTER, "n-1", data)


def added(stores: Stores, audience: str, *, claimed: bool) -> Claim:
    """As an add does it; claimed, it waits for Velt's answer."""
    command = registration(audience)
    entry = Entry(command, claim=new_claim() if claimed else "", lease_ms=LONG_MS)
    return claim_of(stores.store.put(record(audience), entry), command)


def registered(stores: Stores, audience: str) -> None:
    """Held here, and known to Velt."""
    stores.outbox.complete(added(stores, audience, claimed=True))


def left_behind(stores: Stores, redis: Redis, person: str) -> list[str]:
    """Return every place that still holds data about the person."""
    found = [f"record {held.notification}" for held in stores.store.scan() if person in held.audience]
    word = f'"{person}"'.encode()
    for name in map(bytes.decode, keys_of(redis, COMMANDS_PATTERN)):
        for at, sealed in stores.outbox.fields(name).items():
            if at == b"p" and sealed and word in stores.envelope.open(queue_of(name).record, sealed):
                found.append("what an add would restore")
            if at.isdigit() and word in stores.envelope.open(name, sealed):
                found.append("a waiting command")
    commands = [dead.command for dead in stores.outbox.dead_letters.all() if dead.command]
    return found + ["a dead command" for command in commands if word in command.to_bytes()]


class Walk:
    """Run an erasure for each of its boundaries, with moves at some of them."""

    def __init__(
        self, stores: Stores, redis: Redis, between: Boundaries, make_eraser: Callable[..., Eraser]
    ) -> None:
        self.stores, self.redis, self.between = stores, redis, between
        self._make_eraser = make_eraser

    def one(self, begin: Callable[[], Sequence[Action]], at: Sequence[int]) -> bool:
        """One erasure, with the moves before these of its messages; False when it ended before the last."""
        # The trail of the erasure before sends its anchor a second later: it must move nothing of this one.
        self.between.arm({})
        self.redis.flushall()
        self.between.arm(dict(zip(at, begin(), strict=True)))
        eraser = self._make_eraser(REDIS_URL=self.between.url)
        filed(eraser, what := erasure_request("ben"))
        # Not as far as the certificate: before that, commands are looked through once more.
        next(at for at in eraser.advance(what.id) if at.phase is Phase.AWAITING_VELT)
        assert not self.between.failures, self.between.failures
        left = left_behind(self.stores, self.redis, "ben")
        assert left == [], f"{left} after moves before messages {at}"
        return self.between.messages >= at[-1]

    def all_of(self, begin: Callable[[], Action]) -> int:
        """A move at each boundary; how many there are."""
        at = 1
        while self.one(lambda: [begin()], [at]):
            at += 1
        return at

    def pairs_of(self, begin: Callable[[], tuple[Action, Action]], step: int) -> int:
        """Two moves, one after the other, at each pair of boundaries of which one in `step` is taken."""
        tried, first = 0, 1
        while True:
            second = first + 1
            while self.one(begin, [first, second]):
                tried, second = tried + 1, second + step
            if second == first + 1:
                return tried
            first += step


@pytest.fixture
def walk(stores: Stores, redis: Redis, between: Boundaries, make_eraser: Callable[..., Eraser]) -> Walk:
    return Walk(stores, redis, between, make_eraser)


def test_an_erasure_misses_nothing_when_velt_refuses_an_add_over_a_held_id(
    walk: Walk, stores: Stores
) -> None:
    """The record comes back from what the add would restore."""

    def begin() -> Action:
        registered(stores, "ben")
        waits = added(stores, "cleo", claimed=True)
        return lambda: stores.outbox.roll_back(waits)

    assert walk.all_of(begin) > 10


def test_an_erasure_misses_nothing_when_an_add_comes_and_is_refused(walk: Walk, stores: Stores) -> None:
    """The record goes into what the add would restore, and comes back."""

    def begin() -> tuple[Action, Action]:
        registered(stores, "ben")
        waiting: list[Claim] = []
        return (
            lambda: waiting.append(added(stores, "cleo", claimed=True)),
            lambda: stores.outbox.roll_back(waiting.pop()),
        )

    assert walk.pairs_of(begin, step=2) > 100


def test_an_erasure_misses_nothing_when_a_worker_dead_letters_a_command(walk: Walk, stores: Stores) -> None:
    """The worker has read the command before the erasure changes it."""

    def begin() -> Action:
        added(stores, "ben", claimed=False)
        stores.store.remove("acme", "n-1")
        claimed = stores.outbox.claim(stores.outbox.due()[0])
        assert claimed
        return lambda: stores.outbox.dead_letter(claimed, "INVALID_ARGUMENT")

    assert walk.all_of(begin) > 10


def dead_lettered(stores: Stores, audience: str) -> DeadLetter:
    """Its record is held still, and names other people."""
    added(stores, audience, claimed=False)
    claimed = stores.outbox.claim(stores.outbox.due()[0])
    assert claimed
    stores.outbox.dead_letter(claimed, "INVALID_ARGUMENT")
    stores.store.put(record("cleo"))
    (dead,) = stores.outbox.dead_letters.all()
    return dead


def test_an_erasure_misses_nothing_when_a_dead_command_is_retried(walk: Walk, stores: Stores) -> None:
    """The operator's command read it before the erasure changed it."""

    def begin() -> Action:
        dead = dead_lettered(stores, "ben")
        assert dead.command
        return partial(stores.outbox.dead_letters.retry, dead, dead.command)

    assert walk.all_of(begin) > 10


def test_an_erasure_misses_nothing_when_a_retried_command_is_dead_lettered_again(
    walk: Walk, stores: Stores
) -> None:
    def begin() -> tuple[Action, Action]:
        dead = dead_lettered(stores, "ben")
        assert dead.command
        return partial(stores.outbox.dead_letters.retry, dead, dead.command), lambda: give_up_what_waits(
            stores
        )

    assert walk.pairs_of(begin, step=3) > 50


def give_up_what_waits(stores: Stores) -> None:
    for queue in stores.outbox.due():
        if claimed := stores.outbox.claim(queue):
            stores.outbox.dead_letter(claimed, "INVALID_ARGUMENT")


@pytest.mark.parametrize("where", ["waiting", "dead"])
def test_an_erasure_misses_nothing_when_a_command_is_resealed_under_its_hands(
    walk: Walk, stores: Stores, where: str
) -> None:
    """A rotation of the master key writes the same command in other bytes."""

    def begin() -> Action:
        if where == "dead":
            dead_lettered(stores, "ben")
        else:
            added(stores, "ben", claimed=False)
        return lambda: resealed(stores)

    assert walk.all_of(begin) > 10


def resealed(stores: Stores) -> None:
    for name in map(bytes.decode, keys_of(stores.redis, COMMANDS_PATTERN)):
        for at, sealed in stores.outbox.fields(name).items():
            if at.isdigit():
                stores.redis.hset(name, at, stores.envelope.reseal(name, sealed))
    for dead in stores.outbox.dead_letters.all():
        partition, name = dead.name.split(":", 1)
        stores.redis.hset(
            dead_letters_of(partition), name, stores.envelope.reseal(dead_letters_of(partition), dead.sealed)
        )


def test_a_command_that_an_erasure_changed_is_tried_as_it_is_by_then_instead_of_dead_lettered(
    stores: Stores, make_eraser: Callable[..., Eraser]
) -> None:
    added(stores, "ben", claimed=False)
    claimed = stores.outbox.claim(stores.outbox.due()[0])
    assert claimed
    filed(eraser := make_eraser(), what := erasure_request("ben"))
    list(eraser.advance(what.id))
    assert not stores.outbox.dead_letter(claimed, "INVALID_ARGUMENT")
    assert list(stores.outbox.dead_letters.all()) == []
    again = stores.outbox.claim(stores.outbox.due()[0])
    assert again
    assert again.command != claimed.command
    assert again.abandoned_attempts == 0
