"""`python -m bench`: everything that is compared, started, measured in turn, and judged by the bar.

python -m bench --only "get 20" --rounds 3      one scenario, quickly
python -m bench --large --strict                all of it; fails when the bar isn't met
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import orjson
from rich.console import Console

from bench import report, wrk
from bench.bar import judged
from bench.same import NotTheSame
from bench.scenarios import adding, erasing, reading, registering, starting, storing
from bench.stage import JSON, Stage
from bench.wrk import LoadFailed

_SCENARIOS = (reading, adding, registering, storing, starting, erasing)
_NAMES = (
    *map(reading.name_of, reading.SIZES),
    *(reading.UPDATE, adding.ADD, registering.WORKER, storing.MEMORY, starting.START, erasing.ERASE),
)
_LATEST = Path(__file__).with_name("results") / "latest.json"


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=2.0, show_default=True, help="Of each side's turn in a round.")
@click.option("--only", multiple=True, metavar="NAME", help=f"Of: {', '.join(_NAMES)}; or how several begin.")
@click.option("--large", is_flag=True, help="Beside a million stored, too; and erase one person among them.")
@click.option("--strict", is_flag=True, help="Exit 1 when the bar isn't met, or a side is missing.")
@click.option("--json", "target", default=_LATEST, type=click.Path(path_type=Path), help="The results' file.")
def main(  # noqa: PLR0913, PLR0917 - an option each
    rounds: int, seconds: float, only: tuple[str, ...], large: bool, strict: bool, target: Path
) -> None:
    """Measure what the resolver costs beside an empty view, velt-py on PostgreSQL, and Redis alone."""
    if unknown := [given for given in only if not any(name.startswith(given) for name in _NAMES)]:
        raise click.BadParameter(f"no scenario begins with: {', '.join(unknown)}", param_hint="--only")
    if not wrk.is_installed():
        raise click.ClickException("wrk is not installed (Debian: wrk); without it there is no load")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = Stage(Path(folder), rounds, seconds, large, lambda name: _is_wanted(name, only))
        for scenario in _SCENARIOS:
            try:
                scenario.run(stage)
            except (NotTheSame, LoadFailed) as problem:
                raise click.ClickException(str(problem)) from problem
    found = _result(stage)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    report.show(found, Console())
    missed = [line for line in found["bar"] if line["measured"] is not None and not line["met"]]
    if strict and (missed or stage.left_out):
        sys.exit(1)


def _is_wanted(name: str, only: tuple[str, ...]) -> bool:
    """`get` means all sizes; `get 1` means that one."""
    return not only or name in only or any(given not in _NAMES and name.startswith(given) for given in only)


def _result(stage: Stage) -> JSON:
    found: JSON = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: _version(name) for name in ("flask", "gunicorn", "redis", "velt-py", "psycopg")},
        },
        "rounds": stage.rounds,
        "seconds": stage.seconds,
        "connections": wrk.CONNECTIONS,
        "left_out": stage.left_out,
        "scenarios": stage.scenarios,
        "figures": stage.figures,
    }
    return {**found, "bar": judged(found)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
