"""The outbox, its worker and the eraser as a state machine: generated sequences of what backends, end users,
operators and Velt do, one of them between two messages that another one sends to Redis.

The model knows what each notification may be by now: a set of states, since two operations at once may take
effect in either order. When Velt is back and workers have finished, what is here is one of these states, Velt
lists a notification for exactly those who can read it here, and nothing is left claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import pytest
import urllib3
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from resolver.outbox.queue import LEASE_MS
from resolver.privacy.eraser import Eraser
from resolver.store.command import Command, Kind
from resolver.store.guard import read_script
from resolver.store.keyspace import partitions, schedule_of
from resolver.velt.client import VeltEndpoint
from tests.boundaries import Boundaries, boundaries
from tests.erasing import done, erasure_request
from tests.notifications.conftest import Working, empty
from tests.support import JSON, Api, Velt
from tests.waiting import until

pytestmark = pytest.mark.single_server

IDS = ("n-1",)
"""One is enough: operations on different notifications share nothing but the worker."""
PEOPLE = ("ben", "cleo")
VELT = {"up": None, "away": {"drop": "before"}, "deaf": {"drop": "after"}, "failing": {"status": 500}}
"""How Velt answers: it does everything, or nothing, or all without an answer, or fails."""


@dataclass(frozen=True)
class Held:
    """A notification, as the model knows it."""

    text: str
    audience: frozenset[str]


State = Held | None
"""None: nothing is held."""
States = frozenset[State]


@dataclass(frozen=True)
class Add:
    id: str
    audience: frozenset[str]
    text: str

    def call(self, world: World, api: Api) -> bool:
        people = [{"userId": user} for user in sorted(self.audience)]
        reply = api.add(notificationId=self.id, notifyUsers=people, displayBodyMessage=self.text)
        return reply.status_code == 200

    def after(self, _before: State) -> State:
        return Held(self.text, self.audience)


@dataclass(frozen=True)
class Update:
    id: str
    text: str

    def call(self, world: World, api: Api) -> bool:
        entry = {"id": self.id, "displayBodyMessage": self.text}
        reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
        return reply.status_code == 200

    def after(self, before: State) -> State:
        return before and replace(before, text=self.text)


@dataclass(frozen=True)
class Delete:
    id: str

    def call(self, world: World, api: Api) -> bool:
        asked = {"organizationId": "acme", "notificationIds": [self.id]}
        return api.velt("notifications/delete", asked).status_code == 200

    def after(self, _before: State) -> State:
        return None


@dataclass(frozen=True)
class Dismiss:
    id: str
    user: str

    def call(self, world: World, api: Api) -> bool:
        asked = {"organizationId": "acme", "notificationId": self.id}
        return api.callback("delete", asked, self.user).status_code == 200

    def after(self, before: State) -> State:
        if before is None or self.user not in before.audience:
            return before
        left = before.audience - {self.user}
        return replace(before, audience=left) if left else None


@dataclass(frozen=True)
class Abandon:
    """A worker that is killed after it has claimed a command: before it has sent it, or after."""

    id: str
    has_sent: bool

    def call(self, world: World, api: Api) -> bool:
        outbox = api.services.outbox
        for line in outbox.due():
            claimed = outbox.claim(line)
            if claimed and claimed.command and self.has_sent:
                world.send(api, claimed.command)
        return True

    def after(self, before: State) -> State:
        return before


Operation = Add | Update | Delete | Dismiss | Abandon
_ENDPOINTS = {
    Kind.REGISTER: VeltEndpoint.ADD,
    Kind.CHANGE: VeltEndpoint.UPDATE,
    Kind.REMOVE: VeltEndpoint.DELETE,
}


@dataclass
class World:
    """The real parts: Redis, a proxy before it, the sandbox, and the application with and without it."""

    redis: Redis
    velt: Velt
    between: Boundaries
    api: Api
    through_proxy: Api
    working: Working
    make_eraser: Callable[..., Eraser]
    environment: dict[str, str]

    def send(self, api: Api, command: Command) -> None:
        """Send a command as a worker does whose next step never comes."""
        self.velt.mend()
        headers = {"x-velt-api-key": self.environment["VELT_API_KEY"]}
        headers["x-velt-auth-token"] = self.environment["VELT_AUTH_TOKEN"]
        url, body = f"{self.velt.url}{_ENDPOINTS[command.kind]}", {"data": command.data}
        urllib3.request("POST", url, json=body, headers=headers, retries=False, timeout=10)

    def pass_time(self) -> None:
        """Let every lease run out, and every delay be over: the clock that both go by is Redis's own."""
        for partition in partitions():
            queue = schedule_of(partition)
            for member in cast(list[bytes], self.redis.zrange(queue, 0, -1)):
                self.redis.zadd(queue, {member: 1})

    def held(self) -> dict[str, JSON]:
        """Content by id, as a trusted backend reads it."""
        asked = {"organizationId": "acme", "notificationIds": list(IDS)}
        reply = self.api.post("/api/velt/notifications/get", asked)
        assert reply.status_code == 200, reply.data
        found: dict[str, JSON] = reply.get_json()["data"]
        return found

    def readable(self, user: str) -> set[str]:
        reply = self.api.callback("get", {"organizationId": "acme", "notificationIds": list(IDS)}, user)
        assert reply.status_code == 200, reply.data
        return set(reply.get_json()["data"])

    def listed(self, user: str) -> set[str]:
        """Ids that Velt lists as addressed to a person. Other tabs also show what others got."""
        return {item["id"] for item in self.velt.inbox(user) if item["forYou"]}


operations = st.one_of(
    st.builds(
        Add,
        st.sampled_from(IDS),
        st.sampled_from([frozenset({"ben"}), frozenset(PEOPLE)]),
        st.sampled_from(["one", "two", "three"]),
    ),
    st.builds(Update, st.sampled_from(IDS), st.sampled_from(["four", "five"])),
    st.builds(Delete, st.sampled_from(IDS)),
    st.builds(Dismiss, st.sampled_from(IDS), st.sampled_from(PEOPLE)),
    st.builds(Abandon, st.sampled_from(IDS), st.booleans()),
)


class OutboxMachine(RuleBasedStateMachine):
    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        self.world.between.arm({})
        self.world.redis.flushall()
        self.world.velt.control("POST", "reset")
        self.states: dict[str, States] = {id_: frozenset({None}) for id_ in IDS}
        self.dismissed: set[str] = set()
        """Ids that an end user has dismissed: the SDK tells Velt of it itself."""

    @rule(answers=st.sampled_from(sorted(VELT)))
    def velt_answers(self, answers: str) -> None:
        self.world.velt.mend()
        if fault := VELT[answers]:
            self.world.velt.break_with(**fault)

    @rule(operation=operations)
    def operate(self, operation: Operation) -> None:
        done = operation.call(self.world, self.world.api)
        self._note(operation, [self._after([operation])] if done else [self._after([operation]), self.states])

    @rule(first=operations, second=operations, at=st.integers(1, 4))
    def operate_within(self, first: Operation, second: Operation, at: int) -> None:
        """The second one is done as a whole before the n-th message of the first one."""
        acknowledged: list[bool] = []
        self.world.between.arm({at: lambda: acknowledged.append(second.call(self.world, self.world.api))})
        done = first.call(self.world, self.world.through_proxy)
        self.world.between.arm({})
        assert not self.world.between.failures, self.world.between.failures
        within = [second] if acknowledged else []
        possible = [self._after([first, *within]), self._after([*within, first])]
        if not done:
            possible.append(self._after(within))
        if acknowledged == [False]:
            possible += [self._after([first]), self.states]
        self._note(first, possible)
        for operation in within:
            self._note(operation, [self.states])

    @rule()
    def time_passes(self) -> None:
        self.world.pass_time()

    @rule(user=st.sampled_from(PEOPLE))
    def erase(self, user: str) -> None:
        """Settle first: the erasure then says of each notification whether the person was in it."""
        self.settle()
        before = dict(self.states)
        done(self.world.make_eraser(), self.world.environment, erasure_request(user, organizations=("acme",)))
        for id_, states in before.items():
            self.states[id_] = frozenset(Dismiss(id_, user).after(state) for state in states)
        assert self.world.readable(user) == set()
        self.settle()

    @rule()
    def settle(self) -> None:
        """Velt is back, leases have run out, and a worker finishes what waits."""
        self.world.velt.mend()
        self.world.pass_time()
        outbox = self.world.api.services.outbox
        with self.world.working():
            until(lambda: empty(outbox), seconds=LEASE_MS / 1000 + 15)
        assert list(outbox.dead_letters.all()) == []
        self._compare()

    def teardown(self) -> None:
        if hasattr(self, "states"):
            self.settle()

    def _after(self, operations: Iterable[Operation]) -> dict[str, States]:
        """The states after operations one after the other, all of which took effect."""
        states = dict(self.states)
        for operation in operations:
            states[operation.id] = frozenset(map(operation.after, states[operation.id]))
        return states

    def _note(self, operation: Operation, possible: Iterable[dict[str, States]]) -> None:
        united = {id_: frozenset[State]() for id_ in IDS}
        for states in possible:
            united = {id_: united[id_] | states[id_] for id_ in IDS}
        self.states = united
        if isinstance(operation, Dismiss):
            self.dismissed.add(operation.id)

    def _compare(self) -> None:
        """What is here is what the model allows, and Velt has what is held here: from now on, that alone."""
        held = self.world.held()
        readable = {user: self.world.readable(user) for user in PEOPLE}
        for id_, states in self.states.items():
            audience = frozenset(user for user in PEOPLE if id_ in readable[user])
            found = Held(held[id_]["displayBodyMessage"], audience) if id_ in held else None
            assert found in states, (id_, found, states)
            self.states[id_] = frozenset({found})
        for user in PEOPLE:
            listed = self.world.listed(user) - self.dismissed
            assert listed == readable[user] - self.dismissed, (user, listed, readable[user])


@pytest.fixture
def world(  # noqa: PLR0917 - pytest passes fixtures by name
    redis: Redis,
    velt: Velt,
    make_api: Callable[..., Api],
    make_eraser: Callable[..., Eraser],
    working: Working,
    resolver_environment: dict[str, str],
) -> Iterator[World]:
    with boundaries(resolver_environment["REDIS_URL"]) as between:
        yield World(
            redis,
            velt,
            between,
            make_api(),
            make_api(REDIS_URL=between.url),
            working,
            make_eraser,
            resolver_environment,
        )


def run(world: World, examples: int, steps: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    OutboxMachine.world = world
    run_state_machine_as_test(
        OutboxMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(8, 10, id="sample"), pytest.param(1_000, 30, id="whole", marks=pytest.mark.heavy)],
)
@pytest.mark.timeout(3_600)
def test_outbox_worker_and_eraser_keep_what_was_acknowledged(world: World, examples: int, steps: int) -> None:
    run(world, examples, steps)


@pytest.fixture
def without_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script replaces a record whatever version stands there by now."""
    line = "if redis.call('GETRANGE', KEYS[1], 1, 12) ~= ARGV[4] then"

    def read(package: str, name: str) -> str:
        text = read_script(package, name)
        assert name != "commit" or line in text
        return text.replace(line, "if false then")

    monkeypatch.setattr("resolver.store.records.read_script", read)


@pytest.mark.heavy
@pytest.mark.timeout(3_600)
def test_store_that_does_not_compare_versions_is_caught(without_compare: None, world: World) -> None:
    with pytest.raises(AssertionError):
        run(world, 60, 20, [Phase.generate])  # a shorter sequence would take minutes to find
