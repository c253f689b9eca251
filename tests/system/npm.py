"""Install npm packages into a temporary folder, so that the repository holds no third-party code."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

# At most one retry after ten seconds, so that a missing registry is reported soon.
_QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")


def install(folder: Path, *packages: str, options: tuple[str, ...] = ()) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    done = subprocess.run(
        ["npm", "install", *_QUIET, *options, *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"needs a package registry: {done.stderr[-300:]}")
