"""What must be true after every operation, wherever a fault struck."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import NamedTuple

from resolver.config import load
from resolver.errors import Unreadable
from resolver.wiring import build_stores
from tests.faults.loop import Point
from tests.faults.operations import NEW
from tests.faults.proxies import Loss
from tests.faults.world import REFUSED, World, last_json

DEADLINE_SECONDS, MARGIN_SECONDS = 2.0, 2.0
_CANARY = re.compile(rb"CANARY")


class Invariant(NamedTuple):
    name: str
    broken_by: Callable[[Point], str]
    """Descriptions of what is wrong; empty if nothing is."""


def _acknowledged_is_read(point: Point) -> str:
    if not (point.is_acknowledged and point.operation.is_immediate):
        return ""
    return _difference(_read(point.at_once), _read(point.after))


def _acknowledged_is_done(point: Point) -> str:
    return _difference(point.settled, point.after) if point.is_acknowledged else ""


def _registered_is_at_velt(point: Point) -> str:
    """Check that Velt has an add whose reply says `registered`."""
    body = point.reply.body if isinstance(point.reply.body, dict) else {}
    said = body.get("result", {}).get("data", {})
    is_overtaken = point.fault is not None and point.fault.loss is Loss.NOTHING
    if is_overtaken or not (point.is_acknowledged and said.get("registration") == "registered"):
        return ""
    return _difference(_at_velt(point.at_once), _at_velt(point.after))


def _unacknowledged_is_whole_or_absent(point: Point) -> str:
    if point.is_acknowledged or point.settled == point.before:
        return ""
    if _read(point.settled) and all(line.endswith(REFUSED) for line in _read(point.settled)):
        return ""  # half-way through a replay, while nothing is served
    return _difference(point.settled, point.after)


def _repeat_ends_the_same(point: Point) -> str:
    # A delete of what no longer exists is answered as Velt does: 200, and no success for that id.
    if point.repeated and not (
        200 <= point.repeated.status < 300 or point.operation.is_acknowledged(point.repeated)
    ):
        return f"the repeat was refused: {point.repeated}"
    return _difference(point.final, point.after)


def _stays_so(point: Point) -> str:
    return _difference(point.later, point.final)


def _nothing_leaks(point: Point) -> str:
    places = {"sent to Velt": point.sent, "in Redis": point.kept}
    return "; ".join(f"content {place}" for place, seen in places.items() if _CANARY.search(seen))


def _erased_opens_nowhere(point: Point) -> str:
    """Check this as soon as an erasure is reported finished, and ever after."""
    if not (erased := point.operation.erases.encode()):
        return ""
    finished = [point.opened] + ([point.opened_settled] if point.is_acknowledged else [])
    found = [re.search(b".{0,60}" + erased + b".{0,60}", opened, re.IGNORECASE) for opened in finished]
    return "; ".join(f"still opens: {match[0]!r}" for match in found if match)


def _certificates_verify(point: Point) -> str:
    if not point.operation.erases:
        return ""
    verified = point.world.run("privacy", "verify", str(point.world.certificates), "--json")
    return "" if verified.status == 200 else f"{verified.body}"


def _old_key_is_not_needed(point: Point) -> str:
    if not point.operation.withdraws:
        return ""
    status = last_json(point.world.run("keys", "status", "--json").body)
    advice = status["keys"][point.operation.withdraws]["advice"]
    if advice != "Can be withdrawn.":
        return f"{point.operation.withdraws}: {advice}"
    try:
        point.world.everything_opened(
            build_stores(load({**point.world.environment, "RESOLVER_MASTER_KEYS": NEW}))
        )
    except Unreadable:
        return "something doesn't open with the new key alone"
    return ""


def _is_on_record(point: Point) -> str:
    if not point.is_acknowledged:
        return ""
    named = [line for line in point.lines if line.get("action") == point.operation.audited]
    return "" if [line for line in named if line["outcome"] == "ok"] else "no line in the audit trail"


def _in_time(point: Point) -> str:
    late = point.reply.seconds > DEADLINE_SECONDS + MARGIN_SECONDS
    return f"it took {point.reply.seconds:.1f} s" if late else ""


def _nothing_is_left_over(point: Point) -> str:
    left = {
        "a command waits": point.waits,
        "an erasure is under way": point.is_erasing,
        "a deletion is not finished": point.is_deleting,
    }
    return "; ".join(what for what, is_so in left.items() if is_so)


INVARIANTS = (
    Invariant("what was acknowledged is read at once", _acknowledged_is_read),
    Invariant("what was acknowledged is done, here and at Velt", _acknowledged_is_done),
    Invariant("what was called registered is at Velt", _registered_is_at_velt),
    Invariant("what was not acknowledged is wholly there or not at all", _unacknowledged_is_whole_or_absent),
    Invariant("a repeat ends as without a fault", _repeat_ends_the_same),
    Invariant("it stays so when the worker runs again", _stays_so),
    Invariant("content is not at Velt, nor readable in Redis", _nothing_leaks),
    Invariant("what was erased opens nowhere", _erased_opens_nowhere),
    Invariant("the certificate of an erasure verifies", _certificates_verify),
    Invariant("the old master key is no longer needed", _old_key_is_not_needed),
    Invariant("what was acknowledged is on record", _is_on_record),
    Invariant("the reply comes in time", _in_time),
    Invariant("no command stays claimed, no erasure or deletion under way", _nothing_is_left_over),
)


def violations(point: Point) -> list[str]:
    found = ((invariant.name, invariant.broken_by(point)) for invariant in INVARIANTS)
    return [f"NOT SO: {name}: {wrong}" for name, wrong in found if wrong]


def audit_trail_problem(world: World, *, may_end_unsigned: bool) -> str:
    """Return what is wrong with the audit trail of a loop whose processes have ended. A killed process leaves
    its last lines unsigned."""
    verified = world.run("audit", "verify", str(world.audit_log), "--json")
    said = json.loads(verified.body)
    if said["problems"] or (said["unsigned"] and not may_end_unsigned):
        return f"the audit trail doesn't verify: {said['problems'] or said['unsigned']}"
    return ""


def _read(snapshot: list[str]) -> list[str]:
    return [line for line in snapshot if line.startswith("read: ")]


def _at_velt(snapshot: list[str]) -> list[str]:
    return [line for line in snapshot if line.startswith("velt: ")]


def _difference(found: list[str], wanted: list[str]) -> str:
    if found == wanted:
        return ""
    lines = difflib.unified_diff(wanted, found, "wanted", "found", lineterm="", n=0)
    shown = [line[:300] for line in lines if not line.startswith(("@@", "---", "+++"))]
    return "".join(f"\n    {line}" for line in shown)
