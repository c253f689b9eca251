"""The code in docs/backend.md and docs/frontend.md does what they say, against a resolver and a sandbox."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guides import shows, steps
from tests.support import API_KEY, CALLER_TOKEN
from tests.system.conftest import Served, plain_environment

pytestmark = pytest.mark.system
RUNNERS = {
    "python": ([sys.executable], "script.py"),
    "velt-py": ([sys.executable], "script.py"),
    "js": (["node"], "script.mjs"),
    "sh": (["sh", "-eu"], "script.sh"),
}


def followed(page: str, language: str, served: Served, folder: Path, prelude: str = "") -> None:
    """All blocks of a language, as one program; what it prints is what the guide shows."""
    command, name = RUNNERS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = [step for step in steps(page) if step.block.kind == language]
    (folder / name).write_text("\n".join([prelude, *(step.block.text for step in done)]), encoding="utf-8")
    given = {"RESOLVER": served.url, "VELT_API_KEY": API_KEY, "CALLER_TOKEN": CALLER_TOKEN}
    found = subprocess.run(
        [*command, name],
        cwd=folder,
        env=plain_environment(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    expected = "".join(step.shown for step in done)
    assert expected
    assert shows(expected, found.stdout), found.stdout


@pytest.mark.parametrize("language", RUNNERS)
def test_each_language_of_the_backends_guide_does_what_it_shows(
    served: Served, language: str, tmp_path: Path
) -> None:
    followed("backend.md", language, served, tmp_path)
