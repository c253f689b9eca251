"""The loop: run an operation with its n-th exchange lost, for each n, and collect what the invariants
need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.faults.operations import MOVE_BYTES_BACK, RIVALS, Operation
from tests.faults.proxies import Fault
from tests.faults.world import Reply, World

JSON = dict[str, Any]
MOST_EXCHANGES = 500
MOST_REPEATS = 3


@dataclass
class Point:
    """One operation with one exchange lost, and all observations afterwards."""

    world: World
    operation: Operation
    fault: Fault | None
    n: int
    before: list[str]
    """The outcome if the operation never happens."""
    reply: Reply
    struck: str
    seen: dict[str, list[str]]
    after: list[str] = field(default_factory=list)
    """The permitted outcomes; empty in the runs that find these out."""
    at_once: list[str] = field(default_factory=list)
    """The state as soon as the operation has ended."""
    settled: list[str] = field(default_factory=list)
    repeated: Reply | None = None
    final: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    """The state after workers have run once more."""
    opened_settled: bytes = b""
    """Everything that can be opened when workers have finished all waiting commands."""
    opened: bytes = b""
    """Everything that can be opened at the end."""
    is_erasing: bool = False
    """Whether an erasure is still under way after settling."""
    is_deleting: bool = False
    """Whether a deletion without ids is still unfinished after settling."""
    waits: bool = False
    """Whether a command still waits after settling."""
    sent: bytes = b""
    """The requests to Velt."""
    kept: bytes = b""
    """All bytes in Redis."""
    lines: list[JSON] = field(default_factory=list)
    """The lines of the audit trail."""

    @property
    def is_acknowledged(self) -> bool:
        return self.operation.is_acknowledged(self.reply)

    def __str__(self) -> str:
        fault = self.fault.name if self.fault else "no fault"
        return f"{self.operation.name}, {fault}, n={self.n} ({self.struck})"


class Loop:
    def __init__(self, world: World, operation: Operation, rival: str = "") -> None:
        """`rival` is the request of another caller during the operation."""
        self.world, self.operation = world, operation
        self._rival = partial(RIVALS[rival], world) if rival else None
        self._moves_bytes_back = rival in MOVE_BYTES_BACK
        self.before = self._untouched()
        self.after: list[list[str]] = []
        """The permitted outcomes: the one without a fault; or, with a rival, those of both requests in either
        order."""
        self.reference = self._without_a_fault()

    def _without_a_fault(self) -> Point:
        """Run twice, since the first run loads scripts and starts what a process starts once."""
        self.point(None, 0)
        orders = (True, False) if self._rival else (False,)
        found = [self.point(None, 0, rival_first=rival_first) for rival_first in orders]
        if self._moves_bytes_back:
            found.insert(0, self.point(None, 0, rival_first=True, works_between=True))
        self.after = [point.settled for point in found]
        if not self._rival:
            assert found[0].is_acknowledged, found[0].reply
        return found[-1]

    def _untouched(self) -> list[str]:
        """Return the state without the operation."""
        self.world.clear()
        self.operation.prepare(self.world)
        self.world.settle()
        return self._snapshot()

    def exchanges(self, fault: Fault) -> int:
        """Return the number of exchanges without a fault."""
        return len(self.reference.seen.get(fault.service, []))

    def points(self, fault: Fault, ns: Iterable[int]) -> Iterable[Point]:
        """Yield a point for each n, until the operation has fewer exchanges than n."""
        for n in ns:
            assert n <= MOST_EXCHANGES, "the operation doesn't end"
            point = self.point(fault, n)
            if not point.struck:
                return
            yield point

    def point(
        self, fault: Fault | None, n: int, *, rival_first: bool = False, works_between: bool = False
    ) -> Point:
        world, operation = self.world, self.operation
        world.clear()
        operation.prepare(world)
        if self._rival and rival_first:
            self._rival()
        if works_between:
            world.settle()
        world.switch.rival = self._rival or (lambda: None)
        world.velt_proxy.sent.clear()
        world.resolver.begin()
        with world.switch.armed(fault, n):
            reply = operation.act(world)
            struck, seen = world.switch.struck, world.switch.seen
        if self._rival and not (fault or rival_first):
            self._rival()
        point = Point(world, operation, fault, n, self.before, reply, struck, seen)
        self._look(point)
        ends = [*(end for end in self.after if end == point.final), *self.after]
        point.after = ends[0] if ends else []
        return point

    def _snapshot(self) -> list[str]:
        lines = self.world.snapshot()
        leaves = self.operation.may_leave_dead_letters
        return [line for line in lines if not (leaves and line.startswith("dead: "))]

    def _look(self, point: Point) -> None:
        world = self.world
        world.resolver.begin()
        point.at_once = self._snapshot()
        world.settle()
        point.settled = self._snapshot()
        point.opened_settled = world.everything_opened()
        if not point.is_acknowledged:
            point.repeated = self._repeated()
            world.settle()
        point.final = self._snapshot()
        world.settle()
        point.later = self._snapshot()
        point.opened = world.everything_opened()
        point.is_erasing, point.is_deleting = world.is_erasing(), world.is_deleting()
        point.waits = world.is_waiting()
        point.sent, point.kept = b"\n".join(world.velt_proxy.sent), world.values_in_redis()
        point.lines = world.audit_lines()

    def _repeated(self) -> Reply:
        """Repeat the operation, as a caller does that got no acknowledgement. On a machine that is too busy
        for Redis's timeouts, a repeat may be answered with 503 again."""
        for _ in range(MOST_REPEATS):
            with self.world.repeating():
                reply = self.operation.act(self.world)
            if reply.status < 500:
                return reply
            self.world.settle()
        return reply
