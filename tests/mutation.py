"""Require that the tests notice changes of the modules that decide about privacy: the end of `make mutation`.

mutmut changes these modules in one place at a time (a mutant), and runs their tests. A mutant that no test
notices survived.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES: list[str] = PROJECT["tool"]["mutmut"]["only_mutate"]
REQUIRED_PERCENT = 95
_NOTICED = {"killed", "timeout"}


def statuses_by_module(results: str) -> dict[str, Counter[str]]:
    """Count the mutants of each module by status, from the lines of `mutmut results --all true`."""
    found = {module: Counter[str]() for module in MODULES}
    for line in results.splitlines():
        mutant, _, status = line.strip().partition(": ")
        # `resolver.api.guards.x_authorize__mutmut_8`
        module = mutant.rpartition(".")[0].replace(".", "/") + ".py"
        if module in found:
            found[module][status] += 1
    return found


def percent_killed(statuses: Counter[str]) -> float:
    """0 for a module without mutants: then mutmut did not find it."""
    return 100 * sum(statuses[status] for status in _NOTICED) / max(1, statuses.total())


def table(found: dict[str, Counter[str]]) -> Iterable[str]:
    yield f"{'Module':<40}{'killed':>8}{'survived':>10}{'killed %':>10}"
    for module, statuses in {**found, "all": sum(found.values(), Counter[str]())}.items():
        killed = sum(statuses[status] for status in _NOTICED)
        survived, percent = statuses.total() - killed, percent_killed(statuses)
        yield f"{module:<40}{killed:>8}{survived:>10}{percent:>10.1f}"


def main(results: str) -> int:
    """Print the table, and return the exit status."""
    found = statuses_by_module(results)
    print(*table(found), sep="\n")  # noqa: T201
    below = [module for module in found if percent_killed(found[module]) < REQUIRED_PERCENT]
    for module in below:
        print(f"FAIL  {module}: fewer than {REQUIRED_PERCENT} % of its mutants were killed")  # noqa: T201
    return 1 if below else 0


if __name__ == "__main__":
    mutmut = Path(sys.executable).with_name("mutmut")
    listed = subprocess.run(
        [mutmut, "results", "--all", "true"], stdout=subprocess.PIPE, text=True, check=True
    )
    sys.exit(main(listed.stdout))
