"""Real processes: the resolver under gunicorn, as `resolver serve` runs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import Browser, sync_playwright

from resolver.cli.children import start_child, stop_child
from tests.support import API_KEY, CALLER_TOKEN
from tests.waiting import until

Serve = Callable[..., "Served"]
RESOLVER = (sys.executable, "-m", "resolver")


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Return different free ports. Asked for one after the other, a released port may be given out again."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def plain_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Add to these variables what every process needs to start."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}


class Served:
    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url, self.process, self._log = url, process, log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


def caller_of(served: Served) -> dict[str, str]:
    """The variables that the guides expect in a backend's environment."""
    return {"RESOLVER": served.url, "VELT_API_KEY": API_KEY, "CALLER_TOKEN": CALLER_TOKEN}


@contextmanager
def serving(variables: Mapping[str, str], log: Path, *, files: int | None = None) -> Iterator[Served]:
    """Run `resolver serve` until the block ends. `files` limits the open files of each process."""
    bind = f"127.0.0.1:{free_port()}"
    env = plain_environment({"WEB_CONCURRENCY": "1", **variables, "RESOLVER_BIND": bind})
    with log.open("wb") as output:
        limited = ["prlimit", f"--nofile={files}"] if files else []
        process = start_child([*limited, *RESOLVER, "serve"], env=env, stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://{bind}/readyz", process, log)
        yield Served(f"http://{bind}", process, log)
    finally:
        stop_child(process)


def wait_until_ready(
    url: str,
    process: subprocess.Popen[bytes],
    log: Path | Callable[[], str],
    pool: urllib3.PoolManager | None = None,
) -> None:
    """Wait until the URL is answered with 200. If the process ends, or isn't ready within half a minute, the
    test fails with what the process logged."""
    get = pool.request if pool else urllib3.request

    def logged() -> str:
        return log() if callable(log) else log.read_text(encoding="utf-8")

    def is_ready() -> bool:
        assert process.poll() is None, logged()
        try:
            return get("GET", url, retries=False, timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    until(is_ready, logged, pause=0.05)


@pytest.fixture
def served(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with serving({**resolver_environment, "RESOLVER_LOG_LEVEL": "info"}, tmp_path / "log") as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
