"""Options of the fault loops, and the table that a run ends with."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.faults.operations import Operation
from tests.faults.proxies import FAULTS
from tests.faults.world import World
from tests.support import Velt
from tests.topologies import RedisServer

MakeWorld = Callable[..., World]
POINTS = "fault points"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fault loops")
    group.addoption("--operation", help="Run the fault loops of this operation alone.")
    group.addoption("--fault", help="With this kind of fault alone.")
    group.addoption("--n", type=int, help="With the n-th exchange lost alone.")
    group.addoption("--seed", type=int, help="Choose the sample of the fault points by this number.")


def pytest_configure(config: pytest.Config) -> None:
    """Run loops that are named on the command line without a marker, too."""
    if config.getoption("--operation", None) or config.getoption("--fault", None):
        config.option.markexpr = ""


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> random.Random:
    """The seed that chooses the sample. pytest shows the number beside a failure."""
    number = pytestconfig.getoption("--seed", None)
    if number is None:
        number = random.SystemRandom().randrange(10**6)
    print(f"the sample was chosen by --seed {number}")  # noqa: T201 - that is how pytest shows it
    return random.Random(number)


@pytest.fixture
def ns(pytestconfig: pytest.Config) -> Iterable[int]:
    """The numbers of the exchanges to lose: the one of `--n`, or each."""
    only = pytestconfig.getoption("--n", None)
    return [only] if only else itertools.count(1)


@pytest.fixture
def make_world(
    redis_server: RedisServer, redis: Redis, velt: Velt, resolver_environment: dict[str, str], tmp_path: Path
) -> Iterator[MakeWorld]:
    with ExitStack() as stack:

        def make(operation: Operation, *, processes: bool = False) -> World:
            folder = tmp_path / operation.name
            folder.mkdir()
            environment = {
                **resolver_environment,
                "RESOLVER_AUDIT_LOG": str(folder / "audit.log"),
                "RESOLVER_CERTIFICATE_DIR": str(folder / "certificates"),
                **operation.settings,
            }
            world = World(redis_server.url.removeprefix("unix://"), redis, velt, folder, environment)
            return stack.enter_context(world.running(processes=processes))

        yield make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == POINTS and report.when == "call":
                    operation, fault, points = value
                    rows[operation][fault] = rows[operation].get(fault, 0) + points
    if not rows:
        return
    faults = [name for name in FAULTS if any(name in row for row in rows.values())]
    terminalreporter.section("fault points, by operation and kind of fault")
    terminalreporter.write_line(f"{'':20}" + "".join(f"{fault:>20}" for fault in faults))
    for operation, row in rows.items():
        terminalreporter.write_line(
            f"{operation:20}" + "".join(f"{row.get(fault, '-'):>20}" for fault in faults)
        )
    terminalreporter.write_line(f"{sum(sum(row.values()) for row in rows.values())} points in all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the loops that the options name."""
    asked = {name: config.getoption(f"--{name}", None) for name in ("operation", "fault")}
    for name, wanted in asked.items():
        if wanted:
            others = [item for item in items if _is_about_another(item, name, wanted)]
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in others]


def _is_about_another(item: pytest.Item, name: str, wanted: str) -> bool:
    parameters = getattr(item, "callspec", None)
    found = parameters.params.get(name) if parameters else None
    return found is None or found.name != wanted
