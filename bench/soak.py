"""`python -m bench.soak --minutes M`: does anything grow, leak or slow down while everything is going on?

Reads and adds without a pause; between two samples an erasure, a rotation of the master key, or a reload of
all processes, in turn. A sample holds memory, open files, connections to Redis, commands that wait, and the
latencies of its slice of load. In the end each figure's slope over the run is compared with its own noise
(Theil-Sen, and the interval of 95 of 100 resamplings of its residuals): a slope that is surely above zero,
and that would add a tenth of the figure in a run of this length, is growth, and the exit status is 1.
"""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import orjson
from redis import Redis
from rich.table import Table

from bench import people, sides, wrk
from bench.filling import fill_redis
from bench.lines import svg
from bench.processes import memory_bytes, tree
from resolver.cli.terminal import progress_bar
from resolver.store.keyspace import partitions, schedule_of
from tests.support import key
from tests.system.conftest import Served, plain_environment, serving

_STORED = 20_000
_SLICE_SECONDS = 10
_WARM_UP = 0.2
"""Share of the run whose samples don't count: caches fill, and memory settles."""
_GROWTH = 0.1
_FAILED = 1e-4
"""Share of requests that may fail: on a busy machine a deadline ends now and then."""
_RESAMPLED = 400
_FIGURES = ("memory_mb", "files", "redis_connections", "waiting", "read_p50_ms", "read_p99_ms", "add_p50_ms")
Environment = dict[str, str]


@dataclass(frozen=True)
class Sample:
    minute: float
    event: str
    memory_mb: float
    files: int
    redis_connections: int
    waiting: int
    read_p50_ms: float
    read_p99_ms: float
    add_p50_ms: float
    reads_per_second: float
    requests: int
    failed: int


@dataclass(frozen=True)
class Slope:
    """Growth of a figure over the whole run, as a share of its median, with the bounds of its noise."""

    figure: str
    median: float
    growth: float
    low: float
    high: float

    @property
    def is_growing(self) -> bool:
        return self.low > 0 and self.growth > _GROWTH


@click.command()
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(1))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write samples and slopes as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here as SVG.")
def main(minutes: float, output: Path | None, plot: Path | None) -> None:
    if not wrk.is_installed():
        raise click.ClickException("wrk makes the load, and is not installed.")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, progress_bar() as progress:
        task = progress.add_task("soak", total=minutes)
        samples = []
        for sample in _soak(Path(folder), minutes):
            samples.append(sample)
            progress.update(task, completed=sample.minute)
    settled = samples[round(len(samples) * _WARM_UP) :]
    slopes = [slope_of(figure, settled) for figure in _FIGURES]
    found = {"samples": list(map(asdict, samples)), "slopes": list(map(asdict, slopes))}
    if output:
        output.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    if plot:
        lines = {figure: [(s.minute, float(getattr(s, figure))) for s in samples] for figure in _FIGURES}
        plot.write_text(svg(lines, "minutes"), encoding="utf-8")
    requests, failed = sum(sample.requests for sample in samples), sum(sample.failed for sample in samples)
    progress.console.print(_table(slopes))
    progress.console.print(f"{failed} of {requests} requests failed")
    if failed > requests * _FAILED or any(slope.is_growing for slope in slopes):
        sys.exit(1)


def slope_of(figure: str, samples: Sequence[Sample]) -> Slope:
    """The Theil-Sen slope of a figure, and the interval that resampling its residuals gives it."""
    points = [(sample.minute, float(getattr(sample, figure))) for sample in samples]
    span = points[-1][0] - points[0][0]
    middle = statistics.median(value for _, value in points)
    scale = span / middle if middle else 0.0
    dice = random.Random(0)
    slope = theil_sen(points)
    residuals = [value - slope * minute for minute, value in points]
    resampled = sorted(
        theil_sen([(minute, dice.choice(residuals)) for minute, _ in points]) * scale
        for _ in range(_RESAMPLED)
    )
    noise = resampled[round(0.975 * _RESAMPLED) - 1]
    growth = slope * scale
    return Slope(figure, middle, growth, growth - noise, growth + noise)


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points: one spike doesn't move it."""
    return statistics.median((b - a) / (later - at) for (at, a), (later, b) in combinations(points, 2))


def _soak(folder: Path, minutes: float) -> Iterator[Sample]:
    with sides.redis(folder / "redis") as server, sides.instant_velt(folder) as velt:
        keys = f"k1:{key(1)},k2:{key(2)}"
        env = sides.variables(
            folder, server, VELT_API_URL=velt, RESOLVER_WORKER="embedded", RESOLVER_MASTER_KEYS=keys
        )
        fill_redis(env, _STORED)
        reads = wrk.write(folder / "reads", people.reads(20, _STORED))
        adds = wrk.write(folder / "adds", people.adds())
        events = _events(env)
        with serving({**env, "WEB_CONCURRENCY": "2"}, folder / "log") as served:
            client = Redis.from_url(server.url)
            began = time.monotonic()
            while (minute := (time.monotonic() - began) / 60) < minutes:
                event = next(events)(served) if minute else ""
                read = wrk.send(served.url, reads, _SLICE_SECONDS, counts_failures=True)
                added = wrk.send(served.url, adds, _SLICE_SECONDS / 5, counts_failures=True)
                yield _sample(minute, event, served, client, read, added)


def _sample(  # noqa: PLR0913, PLR0917 - what a sample is made of
    minute: float, event: str, served: Served, client: Redis, read: wrk.Load, added: wrk.Load
) -> Sample:
    pids = tree([served.process.pid])
    connections: Any = client.info("clients")
    waiting = sum(client.zcard(schedule_of(partition)) for partition in partitions())
    return Sample(
        minute=minute,
        event=event,
        memory_mb=memory_bytes([served.process.pid]) / 1e6,
        files=sum(map(_open_files, pids)),
        redis_connections=connections["connected_clients"],
        waiting=waiting,
        read_p50_ms=read.p50_ms,
        read_p99_ms=read.p99_ms,
        add_p50_ms=added.p50_ms,
        reads_per_second=read.requests / read.seconds,
        requests=read.requests + added.requests,
        failed=read.failed + added.failed,
    )


def _open_files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _events(env: Environment) -> Iterator[Callable[[Served], str]]:
    """What is done between two samples, over and over. Three of four times: nothing. All processes know both
    master keys, so that a rotation between them needs no restart."""
    first, second = env["RESOLVER_MASTER_KEYS"].split(",")
    keys = [f"{second},{first}", f"{first},{second}"]
    number = 0

    def nothing(_served: Served) -> str:
        return ""

    def erase(_served: Served) -> str:
        _resolver(env, "privacy", "erase", "--user", f"nobody-{number}", "--yes")
        return "erasure"

    def rotate(_served: Served) -> str:
        current = keys[number // 12 % 2]
        _resolver({**env, "RESOLVER_MASTER_KEYS": current}, "keys", "rotate")
        return "rotation"

    def reload(served: Served) -> str:
        served.process.send_signal(signal.SIGHUP)
        time.sleep(2)
        return "reload"

    while True:
        number += 1
        yield {0: erase, 4: rotate, 8: reload}.get(number % 12, nothing)


def _resolver(env: Environment, *arguments: str) -> None:
    command = [sys.executable, "-m", "resolver", *arguments]
    subprocess.run(command, env=plain_environment(env), check=True, capture_output=True)


def _table(slopes: Sequence[Slope]) -> Table:
    table = Table("figure", "median", "growth over the run", "95 % of noise", "")
    for slope in slopes:
        bounds = f"{slope.low:+.1%} to {slope.high:+.1%}"
        verdict = "GROWS" if slope.is_growing else "flat"
        table.add_row(slope.figure, f"{slope.median:,.1f}", f"{slope.growth:+.1%}", bounds, verdict)
    return table


if __name__ == "__main__":
    main()
