"""A B A B: everybody in turn, several times. Ratios are taken within a round, so a machine that slows down
slows both sides of each; then the median of the rounds counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.processes import cpu_seconds, memory_bytes
from bench.wrk import Load

JSON = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One run of one side. CPU in microseconds a request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    application_us: float
    store_us: float
    application_mb: float
    store_mb: float


Run = Callable[[float], Sample]
"""For so many seconds."""
_MB = 1e6


def measured(application: Sequence[int], store: Sequence[int], work: Callable[[], Load]) -> Sample:
    """What that work cost these processes and all they started."""
    own, stores = cpu_seconds(application), cpu_seconds(store)
    load = work()
    own, stores = cpu_seconds(application) - own, cpu_seconds(store) - stores
    return Sample(
        per_second=load.requests / load.seconds,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        application_us=own / load.requests * 1e6,
        store_us=stores / load.requests * 1e6,
        application_mb=memory_bytes(application) / _MB,
        store_mb=memory_bytes(store) / _MB,
    )


def in_turn(
    runs: Mapping[str, Run], rounds: int, seconds: float, progressed: Callable[[], None]
) -> dict[str, list[JSON]]:
    """Every side's samples, in the order of the rounds. Each is warmed up first, unmeasured."""
    for run in runs.values():
        run(1)
        progressed()
    found: dict[str, list[JSON]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(asdict(run(seconds)))
            progressed()
    return found


def median(samples: Sequence[JSON], field: str) -> float:
    return statistics.median(of(sample, field) for sample in samples)


def ratio(ours: Sequence[JSON], theirs: Sequence[JSON], field: str) -> float:
    return statistics.median(ratios(ours, theirs, field))


def ratios(ours: Sequence[JSON], theirs: Sequence[JSON], field: str) -> list[float]:
    """Ours by theirs, round by round."""
    return [of(a, field) / of(b, field) for a, b in zip(ours, theirs, strict=True)]


def of(sample: JSON, field: str) -> float:
    """`cpu_us` is the application's and its store's together."""
    if field == "cpu_us":
        return float(sample["application_us"] + sample["store_us"])
    return float(sample[field])
