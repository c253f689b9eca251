"""Every step of docs/quick-start.md works in an empty folder: its commands, its files, its page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.guides import ROOT, Step, Terminal, shows, steps
from tests.system.conftest import plain_environment
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
CLONE = "velt-notification-resolver"
# The origins that `resolver dev` lets read, as the guide says.
PORTS = (3000, 4200, 5173, 8081)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository to clone, with the files of this folder as they are now, committed or not."""
    folder = tmp_path / "repository"
    env = {
        **plain_environment({"GIT_DIR": str(folder), "GIT_WORK_TREE": str(ROOT)}),
        **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    for command in ("init --quiet", "add --all", "commit --quiet --message=now"):
        subprocess.run(["git", *command.split()], env=env, check=True, timeout=60)
    return folder


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The environment that `make run` would install, with the packages of this one and the clone's code."""
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    version = sysconfig.get_python_version()
    packages = folder / "lib" / f"python{version}" / "site-packages"
    (packages / "here.pth").write_text(f"{tmp_path / 'empty' / CLONE}\n{sysconfig.get_path('purelib')}\n")
    command = folder / "bin" / "resolver"
    command.write_text(f"#!{folder}/bin/python\nfrom resolver.__main__ import main\nmain()\n")
    command.chmod(0o755)
    marker = folder / ".installed-run"
    marker.touch()
    # Newer than the clone's files; otherwise make installs again.
    os.utime(marker, (time.time() + 3600,) * 2)
    return folder


@pytest.fixture
def terminal(tmp_path: Path, repository: Path, installed: Path) -> Iterator[Terminal]:
    (tmp_path / "empty").mkdir()
    variables = {"REPOSITORY": str(repository), "MAKEFLAGS": f"VENV={installed}", "PORT": str(free_one())}
    terminal = Terminal(tmp_path / "empty", plain_environment({**variables, "PYTHONUNBUFFERED": "1"}))
    yield terminal
    terminal.close()


def free_one() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    pytest.skip("all ports of pages that a development run lets read are taken")


def follow(step: Step, terminal: Terminal) -> str:
    """Do what the guide says, and return what was printed."""
    block = step.block
    if block.file:
        (terminal.folder() / block.file).write_text(block.text, encoding="utf-8")
        return ""
    if block.marker == "goes on":
        return waited(step, terminal.start(block.text.strip()))
    return terminal.type(block.text)


def waited(step: Step, log: Path) -> str:
    """Wait until the command that was started has printed what the guide shows."""

    def printed() -> str:
        return log.read_text(encoding="utf-8")

    until(lambda: shows(step.shown, printed()), printed, seconds=40)
    return printed()


def page_shown(chromium: Browser, address: str) -> str:
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(address)
    page.locator("#inbox li").first.wait_for(timeout=10_000)
    shown = page.inner_text("body")
    page.close()
    assert complaints == []
    return shown


@pytest.mark.skipif(not all(map(shutil.which, ("git", "make", "curl"))), reason="needs git, make and curl")
def test_every_step_shows_what_the_guide_says(terminal: Terminal, chromium: Browser) -> None:
    done = ""
    for step in steps("quick-start.md"):
        if step.block.marker == "page":
            done = page_shown(chromium, done.rsplit(maxsplit=1)[-1])
        else:
            done = follow(step, terminal)
        assert shows(step.shown, done), f"docs/quick-start.md, line {step.block.line}: {done}"
