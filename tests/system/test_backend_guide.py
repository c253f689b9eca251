"""The code in docs/backend.md, language by language, does what it says against a resolver and a sandbox."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guides import shows, steps
from tests.system.conftest import Served, caller_of, plain_environment

pytestmark = pytest.mark.system
RUNNERS = {
    "python": ([sys.executable], "script.py"),
    "velt-py": ([sys.executable], "script.py"),
    "js": (["node"], "script.mjs"),
    "sh": (["sh", "-eu"], "script.sh"),
}


@pytest.mark.parametrize("language", RUNNERS)
def test_all_blocks_of_a_language_are_one_program_that_prints_what_they_show(
    served: Served, language: str, tmp_path: Path
) -> None:
    command, name = RUNNERS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = [step for step in steps("backend.md") if step.block.kind == language]
    (tmp_path / name).write_text("\n".join(step.block.text for step in done), encoding="utf-8")
    found = subprocess.run(
        [*command, name],
        cwd=tmp_path,
        env=plain_environment(caller_of(served)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    expected = "".join(step.shown for step in done)
    assert expected
    assert shows(expected, found.stdout), found.stdout
