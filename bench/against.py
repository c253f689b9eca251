"""`python -m bench.against CHECKOUT`: CPU per request of this checkout beside another one, in turn.

CHECKOUT is another working copy of this repository, with an environment in its `.venv`. Each side has a Redis
of its own, filled by its own code: the formats may differ. Both register at the same stand-in for Velt. What
an add leaves for the worker is finished, and counted, before the other side's turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bench import people, sides, wrk
from bench.rounds import Run, in_turn, of, ratios
from bench.sides import Side
from resolver.cli.children import start_child, stop_child
from resolver.cli.terminal import progress_bar
from tests.system.conftest import free_port, plain_environment, wait_until_ready

_HERE, _THERE = "this checkout", "the other"
_SIZES = (1, 20, 300)
_STORED = 5000
_FILL = "import os; from bench.filling import fill_redis; fill_redis(os.environ, int(os.environ['STORED']))"
_REGISTRATION = {"add, inline": "inline", "add, deferred": "deferred"}


@click.command()
@click.argument("checkout", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=2.0, show_default=True, help="Of each side's turn in a round.")
def main(checkout: Path, rounds: int, seconds: float) -> None:
    pythons = {_HERE: (Path.cwd(), Path(sys.executable)), _THERE: (checkout, checkout / ".venv/bin/python")}
    with tempfile.TemporaryDirectory(prefix="against-") as folder, progress_bar() as progress:
        for name, runs in _scenarios(Path(folder), pythons):
            task = progress.add_task(name, total=(rounds + 1) * len(runs))
            found = in_turn(runs, rounds, seconds, lambda task=task: progress.advance(task))  # type: ignore[misc]
            before, after = found[_THERE], found[_HERE]
            lines = ratios(after, before, "cpu_us")
            medians = [statistics.median(of(sample, "cpu_us") for sample in side) for side in (before, after)]
            progress.console.print(
                f"{name:14} {medians[0]:6.0f} -> {medians[1]:6.0f} µs   ratio {statistics.median(lines):.3f} "
                f"({min(lines):.3f} to {max(lines):.3f})"
            )


def _scenarios(folder: Path, pythons: dict[str, tuple[Path, Path]]) -> Iterator[tuple[str, dict[str, Run]]]:
    with ExitStack() as stack:
        served = {
            name: stack.enter_context(_serving(folder / name, *python, "inline", sides.NOWHERE, _STORED))
            for name, python in pythons.items()
        }
        for size in _SIZES:
            requests = wrk.write(folder / f"{size}.requests", people.reads(size, _STORED))
            yield f"get {size}", {name: side.under(requests) for name, side in served.items()}
    for scenario, registration in _REGISTRATION.items():
        with ExitStack() as stack:
            velt = stack.enter_context(sides.instant_velt(folder))
            requests = wrk.write(folder / "add.requests", people.adds())
            yield (
                scenario,
                {
                    name: stack.enter_context(
                        _serving(folder / f"{name} {registration}", *python, registration, velt, 0)
                    ).settled_under(requests)
                    for name, python in pythons.items()
                },
            )


@contextmanager
def _serving(  # noqa: PLR0913, PLR0917 - what a side is made of
    folder: Path, checkout: Path, python: Path, registration: str, velt: str, stored: int
) -> Iterator[Side]:
    with sides.redis(folder / "redis") as server:
        bind, log = f"127.0.0.1:{free_port()}", folder / "log"
        given = sides.variables(
            folder,
            server,
            VELT_API_URL=velt,
            RESOLVER_REGISTRATION=registration,
            RESOLVER_WORKER="separate" if stored else "embedded",
        )
        env = plain_environment({**given, "WEB_CONCURRENCY": "1", "RESOLVER_BIND": bind})
        if stored:
            filling = {**env, "STORED": str(stored)}
            subprocess.run([python, "-c", _FILL], cwd=checkout, env=filling, check=True, capture_output=True)
        with log.open("wb") as output:
            process = start_child([str(python), "-m", "resolver", "serve"], env, output, output, cwd=checkout)
        try:
            wait_until_ready(f"http://{bind}/readyz", process, log)
            yield Side(f"http://{bind}", (process.pid,), (server.pid,))
        finally:
            stop_child(process)


if __name__ == "__main__":
    main()
