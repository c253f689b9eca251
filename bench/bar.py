"""The bar: what the callback and the adds may cost, as ratios within one run. Judged by the results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.rounds import of, ratio
from bench.scenarios import adding, reading, registering, storing
from bench.sides import EMPTY, OURS, VELT_PY, peers

JSON = dict[str, Any]
Sides = dict[str, list[JSON]]
_CPU, _RATE = "cpu_us", "per_second"


class Line(NamedTuple):
    what: str
    limit: float
    at_most: bool
    measure: Callable[[JSON], float | None]


def judged(found: JSON) -> list[JSON]:
    return [_judged(line, found) for line in _lines()]


def _judged(line: Line, found: JSON) -> JSON:
    value = line.measure(found)
    met = value is not None and (value <= line.limit if line.at_most else value >= line.limit)
    limit = f"{'≤' if line.at_most else '≥'} {line.limit:.4g}"
    return {"what": line.what, "limit": limit, "measured": value, "met": met}


def _lines() -> Iterator[Line]:
    get_20, get_300 = reading.name_of(20), reading.name_of(300)
    many = reading.among_many(OURS)
    yield Line("get 20: CPU by the empty view's", 1.8, True, _by(get_20, OURS, EMPTY, _CPU))
    yield Line("get 20: CPU by velt-py's", 1 / 4, True, _by(get_20, OURS, VELT_PY, _CPU))
    yield Line("get 20: requests/s by the empty view's", 0.55, False, _by(get_20, OURS, EMPTY, _RATE))
    yield Line("get 20: requests/s by velt-py's", 3.5, False, _by(get_20, OURS, VELT_PY, _RATE))
    yield Line("get 300: µs of CPU for each id beyond 20", 6, True, _each_further_id)
    yield Line("get 300: CPU by velt-py's", 1 / 7, True, _by(get_300, OURS, VELT_PY, _CPU))
    yield Line("get 1,000: commands sent to Redis, a hundred ids each", 11, True, _commands_of_a_read)
    yield Line("get 20: CPU among 10⁶ by that among 10⁴", 1.1, True, _by(get_20, many, OURS, _CPU))
    yield Line(
        "add deferred: requests/s by velt-py's", 4, False, _by(adding.ADD, adding.DEFERRED, VELT_PY, _RATE)
    )
    yield Line(
        "add inline: requests/s by velt-py's", 2, False, _by(adding.ADD, adding.INLINE, VELT_PY, _RATE)
    )
    yield Line("memory: bytes each beyond 1.1 times its JSON", 250, True, _further_bytes)
    yield Line("worker: registrations/s", 1500, False, _registrations)


def _by(scenario: str, ours: str, theirs: str, field: str) -> Callable[[JSON], float | None]:
    """`theirs`: a side, or a peer, which counts under the worker class that is better for it."""

    def measure(found: JSON) -> float | None:
        sides = sides_of(found, scenario)
        others = [sides[name] for name in (theirs, *peers(theirs)) if name in sides]
        if ours not in sides or not others:
            return None
        measured = [ratio(sides[ours], other, field) for other in others]
        return min(measured) if field == _RATE else max(measured)

    return measure


def sides_of(found: JSON, scenario: str) -> Sides:
    return next((entry["sides"] for entry in found["scenarios"] if entry["name"] == scenario), {})


def _each_further_id(found: JSON) -> float | None:
    few, many = (sides_of(found, reading.name_of(size)).get(OURS) for size in (20, 300))
    if not few or not many:
        return None
    return statistics.median((of(b, _CPU) - of(a, _CPU)) / 280 for a, b in zip(few, many, strict=True))


def _commands_of_a_read(found: JSON) -> float | None:
    commands = _figure(found, f"round trips, {reading.name_of(1000)}", "commands")
    return None if commands is None else float(sum(commands.values()))


def _further_bytes(found: JSON) -> float | None:
    each, json = (_figure(found, storing.MEMORY, name) for name in ("bytes_each", "json_bytes"))
    return None if each is None or json is None else float(each - 1.1 * json)


def _registrations(found: JSON) -> float | None:
    value: float | None = _figure(found, registering.WORKER, _RATE)
    return value


def _figure(found: JSON, name: str, field: str) -> Any:
    return found["figures"].get(name, {}).get(field)
