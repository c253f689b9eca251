"""Installing the resolver as users do: into a new environment, from a registry."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

# What pip prints when it reaches no registry. Any other failure is the package's.
_NO_REGISTRY = ("No matching distribution found", "Could not fetch URL", "NewConnectionError", "ProxyError")


def run(script: str, folder: Path, **variables: str) -> None:
    """Run one step of an installation, in a shell that stops at the first error."""
    env: Mapping[str, str] = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and any(words in done.stderr for words in _NO_REGISTRY):
        pytest.skip(f"needs a package registry: {done.stderr[-300:]}")
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
