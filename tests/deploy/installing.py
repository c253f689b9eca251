"""Installs the resolver the way users do: into an environment of its own, from a registry."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

# What pip says when there is nobody to ask; anything else that goes wrong is ours.
_NOBODY = ("No matching distribution found", "Could not fetch URL", "NewConnectionError", "ProxyError")


def run(script: str, folder: Path, **variables: str) -> None:
    """One step of an installation, in a shell that stops at the first error."""
    env: Mapping[str, str] = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and any(words in done.stderr for words in _NOBODY):
        pytest.skip(f"needs a package registry: {done.stderr[-300:]}")
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
