"""`make mutation` and `make coverage` look at the same modules, run the same tests, and can fail."""

from __future__ import annotations

import re

import pytest

from tests.mutation import MODULES, PROJECT, ROOT, main


def results(survived: int, killed: int = 19) -> str:
    """The lines of a run in which every module has so many mutants of each status."""
    lines = []
    for module in MODULES:
        name = module.removesuffix(".py").replace("/", ".")
        for n in range(killed + survived):
            status = "survived" if n < survived else "timeout" if n == survived else "killed"
            lines.append(f"    {name}.xǁWordsǁread__mutmut_{n}: {status}")
    return "\n".join(lines)


def test_mutation_check_passes_at_95_percent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(results(survived=1)) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(MODULES) + 2
    assert printed.count("19         1      95.0") == len(MODULES)
    assert "FAIL" not in printed


def test_mutation_check_fails_below_95_percent_in_one_module(capsys: pytest.CaptureFixture[str]) -> None:
    one = MODULES[0].removesuffix(".py").replace("/", ".")
    assert main(results(survived=1) + f"\n    {one}.x_more__mutmut_1: survived") == 1
    assert capsys.readouterr().out.count("FAIL") == 1


@pytest.mark.parametrize("status", ["no tests", "suspicious", "segfault", "not checked", "skipped"])
def test_mutant_that_was_not_judged_counts_as_survived(status: str) -> None:
    assert main(results(survived=1)) == 0
    assert main(results(survived=2).replace("survived", status)) == 1


def test_mutation_check_fails_when_a_module_has_no_mutants() -> None:
    absent = MODULES[-1].removesuffix(".py").replace("/", ".")
    others = [line for line in results(survived=0).splitlines() if absent not in line]
    assert main("\n".join(others)) == 1
    assert main("") == 1


def test_coverage_and_mutation_look_at_the_same_modules_with_the_same_tests() -> None:
    assert PROJECT["tool"]["coverage"]["run"]["include"] == MODULES
    assert all((ROOT / module).is_file() for module in MODULES)
    mutmut = PROJECT["tool"]["mutmut"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) := (.*)$", makefile.replace("\\\n", " "), re.M))
    assert variables["DECIDING"].split() == mutmut["pytest_add_cli_args_test_selection"]
    assert mutmut["pytest_add_cli_args"][-1] == variables["EXAMPLES"]
