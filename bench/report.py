"""The results as tables (`python -m bench.report FILE --markdown`) and as a plot (`-o FILE.svg`)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from rich.console import Console
from rich.table import Table

from bench import plot
from bench.rounds import median, ratios
from bench.sides import EMPTY, REDIS_ALONE, VELT_PY, peers

JSON = dict[str, Any]


_COLUMNS = {
    "per_second": "req/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "application_us": "app µs",
    "store_us": "store µs",
    "cpu_us": "sum µs",
    "application_mb": "app MB",
    "store_mb": "store MB",
}
_FROM, _TO = "<!-- results -->", "<!-- end of results -->"
_PEERS = (EMPTY, *peers(EMPTY), VELT_PY, *peers(VELT_PY))
_RATIOS = {"cpu_us": "CPU per request", "per_second": "requests/s"}


class Grid(NamedTuple):
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@click.command()
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown.")
@click.option("-o", "target", type=click.Path(path_type=Path), help="Where the plot goes.")
@click.option(
    "--into",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A page that has the tables between its marks; they are replaced.",
)
def main(results: Path, markdown: bool, target: Path | None, into: Path | None) -> None:
    """Show results that were measured before."""
    found = orjson.loads(results.read_bytes())
    if into:
        into.write_text(_replaced(into.read_text(encoding="utf-8"), in_markdown(found)), encoding="utf-8")
    if target:
        target.write_text(plot.svg(found), encoding="utf-8")
    if markdown:
        click.echo(in_markdown(found))
    elif not (target or into):
        show(found, Console())


def show(found: JSON, console: Console) -> None:
    for grid in grids(found):
        table = Table(*grid.head, title=grid.title, title_justify="left")
        for row in grid.rows:
            table.add_row(*row)
        console.print(table)
    for side, reason in found["left_out"].items():
        console.print(f"{side} was left out: {reason}")


def in_markdown(found: JSON) -> str:
    return "\n\n".join([_circumstances(found), *map(_markdown, grids(found))])


def _circumstances(found: JSON) -> str:
    machine = dict(found["machine"])
    cores = machine.pop("cores")
    versions = ", ".join(f"{name} {version}" for name, version in machine.items() if version)
    turns = f"{found['rounds']} rounds of {found['seconds']:g} s a side"
    return (
        f"{cores} shared cores; {turns}; {found['connections']} connections; one process a side; "
        f"{versions}. CPU in µs a request."
    )


def _replaced(page: str, tables: str) -> str:
    before, _, rest = page.partition(_FROM)
    _, found, after = rest.partition(_TO)
    if not found:
        raise click.ClickException(f"the page has no marks {_FROM} and {_TO}")
    return f"{before}{_FROM}\n{tables}\n{_TO}{after}"


def grids(found: JSON) -> Iterator[Grid]:
    for scenario in found["scenarios"]:
        yield _compared(scenario["name"], scenario["sides"], found["left_out"])
    if found["scenarios"]:
        yield _ratios(found["scenarios"])
    rows = [(name, *figure) for name, entry in found["figures"].items() for figure in _figures(entry)]
    if rows:
        yield Grid("Figures", ("", "", ""), rows)
    verdicts = {True: "met", False: "not met", None: "not measured"}
    yield Grid(
        "Against the bar",
        ("", "bar", "measured", ""),
        [
            (line["what"], line["limit"], _number(line["measured"]), verdicts[_verdict(line)])
            for line in found["bar"]
        ],
    )


def _compared(name: str, sides: dict[str, list[JSON]], left_out: dict[str, str]) -> Grid:
    rows = [
        (side, *(_number(median(samples, field)) for field in _COLUMNS)) for side, samples in sides.items()
    ]
    missing = [(side, reason, *[""] * (len(_COLUMNS) - 1)) for side, reason in left_out.items()]
    return Grid(name, ("", *_COLUMNS.values()), rows + [row for row in missing if row[0] not in sides])


def _ratios(scenarios: list[JSON]) -> Grid:
    """Ours by each of the others, within a round: the median, and between what."""
    rows = [
        (scenario["name"], side, other, *(_spread(ratios(samples, theirs, field)) for field in _RATIOS))
        for scenario in scenarios
        for side, samples in scenario["sides"].items()
        for other, theirs in scenario["sides"].items()
        if other in _PEERS and side not in (*_PEERS, REDIS_ALONE)
    ]
    return Grid("Ratios within a round", ("", "", "by", *_RATIOS.values()), rows)


def _figures(entry: JSON) -> Iterator[tuple[str, str]]:
    for name, value in entry.items():
        if isinstance(value, dict):
            yield name, ", ".join(f"{of} {_number(number)}" for of, number in value.items())
        elif not isinstance(value, list):
            yield name.replace("_", " "), _number(value)


def _spread(values: Sequence[float]) -> str:
    middle = _number(statistics.median(values))
    return f"{middle} ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else middle


def _verdict(line: JSON) -> bool | None:
    return None if line["measured"] is None else bool(line["met"])


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _markdown(grid: Grid) -> str:
    lines = [grid.head, ["---"] * len(grid.head), *grid.rows]
    return "\n".join([f"**{grid.title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    main()
