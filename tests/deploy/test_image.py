"""deploy/Dockerfile, built without a container engine: the commands of its builder, run on the files that it
copies, make an environment in which the image's commands run."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from resolver.cli.children import start_child, stop_child
from resolver.config import load
from resolver.wiring import build_stores
from tests.deploy.docker import dockerfile, image_environment, instructions, stages
from tests.deploy.installing import run
from tests.deploy.process import ROOT
from tests.system.conftest import Served, free_port, wait_until_ready
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def reaches_the_builder(path: str) -> bool:
    """Whether .dockerignore lets this file through. The last line that matches decides."""
    leaves = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and line[0] != "#" and any(fnmatch(part, pattern) for part in (path, path.partition("/")[0])):
            leaves = line[0] == "!"
    return leaves


def copy(rest: str, folder: Path) -> None:
    *sources, _ = rest.split()
    for source in sources:
        assert reaches_the_builder(source), f"{source} is ignored by .dockerignore"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder / source)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the image's `/opt`."""
    opt, source = tmp_path_factory.mktemp("opt"), tmp_path_factory.mktemp("src")
    builder, _ = stages()
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    for word, rest in builder:
        if word == "COPY":
            copy(rest, source)
        elif word == "RUN":
            run(rest.replace("/opt/", f"{opt}/"), source, PATH=path)
    return opt


@pytest.fixture
def environment(image: Path, resolver_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The image's own variables, and those of a deployment."""
    return {
        "PATH": f"{image}/resolver/bin:/usr/bin:/bin",
        **image_environment(),
        **resolver_environment,
        "RESOLVER_BIND": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def container(environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    """The process that Docker would start: ENTRYPOINT and CMD."""
    log = tmp_path / "log"
    command = [*dockerfile()["ENTRYPOINT"], *dockerfile()["CMD"]]
    with log.open("wb") as output:
        process = start_child(command, env=environment, stdout=output, stderr=output, cwd=tmp_path)
    try:
        url = f"http://{environment['RESOLVER_BIND']}"
        wait_until_ready(f"{url}/readyz", process, log)
        yield Served(url, process, log)
    finally:
        stop_child(process)


def healthy(environment: dict[str, str]) -> bool:
    done = subprocess.run(
        dockerfile()["HEALTHCHECK"], env=environment, capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


def test_image_serves_is_healthy_and_stops_on_its_stop_signal(
    container: Served, environment: dict[str, str]
) -> None:
    assert healthy(environment)
    container.process.send_signal(signal.Signals[dockerfile()["STOPSIGNAL"]])
    assert container.process.wait(20) == 0
    assert not healthy(environment)


def test_image_runs_a_worker(
    environment: dict[str, str], resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as output:
        worker = start_child([*dockerfile()["ENTRYPOINT"], "worker"], env=environment, stderr=output)
    try:
        until(build_stores(load(resolver_environment)).outbox.has_live_worker, "the worker's heartbeat")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        stop_child(worker)


def test_image_holds_the_packages_of_the_lock_alone(image: Path) -> None:
    listed = subprocess.run(
        [f"{image}/resolver/bin/pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in listed.stdout.split()}
    lock = (ROOT / "requirements.lock").read_text()
    locked = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    assert found - locked <= {"pip", "setuptools", "velt-notification-resolver"}


def test_last_stage_copies_the_environment_to_the_same_path() -> None:
    copied = [rest.split() for word, rest in stages()[1] if word == "COPY"]
    assert all(parts[0] == "--from=builder" for parts in copied)
    # The commands of an environment name their interpreter by its absolute path.
    assert ["--from=builder", "/opt/resolver", "/opt/resolver"] in copied


def test_every_installation_requires_hashes() -> None:
    installs = [
        part
        for word, rest in instructions()
        if word == "RUN"
        for part in rest.split("&&")
        if "pip install" in part
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-deps --no-index" in part for part in installs)


@pytest.mark.parametrize(
    "path", [".git/config", ".resolver/keys", "deploy/private/secrets/REDIS_URL", "tests", ".env"]
)
def test_dockerignore_keeps_other_files_of_a_checkout_from_the_builder(path: str) -> None:
    assert not reaches_the_builder(path)
