"""The secrets that `deploy/secrets.sh` makes, and the places of a deployment on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.deploy.process import DEPLOY
from tests.support import API_KEY, VELT_TOKEN

MakeSecrets = Callable[..., Path]


def make_secrets(folder: Path, *redis: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    env = {
        "PATH": os.environ["PATH"],
        "VELT_API_KEY": API_KEY,
        "VELT_AUTH_TOKEN": VELT_TOKEN,
        "RESOLVER": f"{sys.executable} -m resolver",
    }
    command = [str(DEPLOY / "secrets.sh"), str(folder), *redis]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets that `deploy/secrets.sh` makes for a Redis with the host name `redis`."""
    folder = tmp_path_factory.mktemp("deployment") / "private"
    made = make_secrets(folder, "redis")
    assert made.returncode == 0, made.stderr
    return folder


def here(environment: Mapping[str, str], private: Path, state: Path) -> dict[str, str]:
    """Return a shipped environment with this machine's paths for secrets and state."""
    places = {
        "/run/secrets/resolver/": f"{private}/secrets/",
        "/run/secrets/": f"{private}/secrets/",
        "%d/": f"{private}/secrets/",
        "/etc/velt-resolver/": f"{private}/",
        "/var/lib/velt-resolver/": f"{state}/",
        "/var/log/velt-resolver/": f"{state}/",
    }
    found = dict(environment)
    for name, value in environment.items():
        for shipped, place in places.items():
            if value.startswith(shipped):
                found[name] = place + value.removeprefix(shipped)
                break
    return found
