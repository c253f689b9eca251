"""Each exchange of each operation is lost in each way: nothing acknowledged is lost, nothing leaks, and what
was erased stays erased (docs/testing.md)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable

import pytest

from tests.faults.conftest import POINTS, MakeWorld
from tests.faults.invariants import audit_trail_problem, violations
from tests.faults.loop import Loop, Point
from tests.faults.operations import MOVE_BYTES_BACK, OPERATIONS, RIVALS, Operation
from tests.faults.proxies import FAULTS, Fault, Loss
from tests.faults.world import JSON, World

pytestmark = [pytest.mark.system, pytest.mark.single_server]
ANSWERS: dict[str, JSON] = {
    "unknown-refused": {"addAgain": "refuse", "unknownUpdate": "refuse", "unknownDelete": "refuse"},
    "unknown-taken": {"unknownUpdate": "success", "unknownDelete": "success", "deleteForUser": "row"},
}
"""Answers that Velt's documentation leaves open, turned the other way: for an id that Velt has or doesn't
have, and for the delete of one person."""
SAMPLED_KINDS = 3
"""Exchanges of each operation, so that the sample takes less than a minute."""
CASES = [
    (operation, fault)
    for operation in OPERATIONS.values()
    for fault in FAULTS.values()
    if (operation.meets_faults_of_velt or fault.service != "velt")
    and (operation.is_rivalled or fault.loss is not Loss.NOTHING)
]
LOST = [case for case in CASES if case[1].name in ("request-lost", "reply-lost", "velt-reply-lost")]
# If an update has left one recipient, a dismissal deletes at Velt through the SDK, which isn't part of this.
OVERTAKEN = [
    (operation, rival, fault)
    for operation, fault in CASES
    for rival in RIVALS
    if fault.loss is Loss.NOTHING
    and (
        rival in MOVE_BYTES_BACK
        if operation.erases
        else not (operation.withdraws or rival in {*MOVE_BYTES_BACK, "update"})
    )
    and not (rival == "dismiss" and operation.audited == "update")
]
RecordProperty = Callable[[str, object], None]


def checked(loop: Loop, fault: Fault, ns: Iterable[int]) -> int:
    """Check all points, and return their number. Fails with every point at which an invariant doesn't
    hold."""
    wrong = ""
    number = 0
    for point in loop.points(fault, ns):
        number += 1
        if found := violations(point):
            wrong += "\n  ".join([described(point), *found, ""])
    assert not wrong, wrong
    return number


def described(point: Point) -> str:
    fault = point.fault.name if point.fault else ""
    alone = f"pytest tests/faults --operation {point.operation.name} --fault {fault} --n {point.n}"
    return f"{point}: answered {point.reply.status}. Only this one: {alone}"


def ensure_nothing_is_told(world: World, capfd: pytest.CaptureFixture[str], *, killed: bool) -> None:
    """Check after a loop's processes have ended that the audit trail verifies and the logs hold no
    content."""
    world.close()
    problem = audit_trail_problem(world, may_end_unsigned=killed)
    assert not problem, problem
    assert "CANARY" not in "".join([*capfd.readouterr(), world.logs()])


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("operation", "fault"), CASES, ids=[f"{operation.name}-{fault.name}" for operation, fault in CASES]
)
def test_operation_keeps_its_promises_whichever_exchange_is_lost(  # noqa: PLR0917 - fixtures
    operation: Operation,
    fault: Fault,
    make_world: MakeWorld,
    record_property: RecordProperty,
    capfd: pytest.CaptureFixture[str],
    ns: Iterable[int],
) -> None:
    world = make_world(operation, processes=fault.kills)
    loop = Loop(world, operation, rival_of(fault))
    number = checked(loop, fault, ns)
    ensure_nothing_is_told(world, capfd, killed=fault.kills)
    record_property(POINTS, (operation.name, fault.name, number))


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("answers", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize(
    ("operation", "fault"), LOST, ids=[f"{operation.name}-{fault.name}" for operation, fault in LOST]
)
def test_operation_keeps_its_promises_whichever_way_velt_answers(  # noqa: PLR0917 - fixtures
    operation: Operation,
    answers: JSON,
    fault: Fault,
    make_world: MakeWorld,
    record_property: RecordProperty,
    ns: Iterable[int],
) -> None:
    world = make_world(operation)
    world.answers = answers
    number = checked(Loop(world, operation), fault, ns)
    record_property(POINTS, (operation.name, fault.name, number))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_operation_keeps_its_promises_at_sampled_exchanges(
    operation: Operation,
    make_world: MakeWorld,
    record_property: RecordProperty,
    capfd: pytest.CaptureFixture[str],
    seed: random.Random,
) -> None:
    world = make_world(operation)
    kinds = [fault for about, fault in CASES if about is operation and not fault.kills]
    for rival, faults in itertools.groupby(sorted(seed.sample(kinds, SAMPLED_KINDS), key=rival_of), rival_of):
        loop = Loop(world, operation, rival)
        for fault in faults:
            number = checked(loop, fault, sampled(seed, fault, loop))
            record_property(POINTS, (operation.name, fault.name, number))
    ensure_nothing_is_told(world, capfd, killed=False)


def test_operation_keeps_its_promises_when_its_process_is_killed_at_a_sampled_exchange(
    make_world: MakeWorld,
    record_property: RecordProperty,
    capfd: pytest.CaptureFixture[str],
    seed: random.Random,
) -> None:
    # Erasures, rotations and replays would take minutes with killed processes.
    operation = seed.choice([operation for operation in OPERATIONS.values() if not operation.settings])
    loop = Loop(world := make_world(operation, processes=True), operation)
    for fault in (FAULTS["killed-before"], FAULTS["killed-after"]):
        number = checked(loop, fault, sampled(seed, fault, loop))
        record_property(POINTS, (operation.name, fault.name, number))
    ensure_nothing_is_told(world, capfd, killed=True)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("operation", "rival", "fault"),
    OVERTAKEN,
    ids=[f"{operation.name}-{rival}-{fault.name}" for operation, rival, fault in OVERTAKEN],
)
def test_operation_and_a_rival_end_as_one_after_the_other(  # noqa: PLR0917 - fixtures
    operation: Operation,
    rival: str,
    fault: Fault,
    make_world: MakeWorld,
    record_property: RecordProperty,
    ns: Iterable[int],
) -> None:
    number = checked(Loop(make_world(operation), operation, rival), fault, ns)
    record_property(POINTS, (operation.name, fault.name, number))


def rival_of(fault: Fault) -> str:
    return "update" if fault.loss is Loss.NOTHING else ""


def sampled(seed: random.Random, fault: Fault, loop: Loop) -> list[int]:
    every = range(1, loop.exchanges(fault) + 1)
    return [seed.choice(every)] if every else []
