"""The console log: one line for each request and its outcome, in colour on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from tests.support import BACKEND, notification, signed
from tests.system.conftest import RESOLVER, free_port, free_ports, plain_environment, wait_until_ready
from tests.waiting import until

pytestmark = pytest.mark.system
COLOUR = "\x1b["


@contextmanager
def shown(variables: dict[str, str], port: int, *command: str) -> Iterator[list[str]]:
    """Run a resolver in a terminal, and collect what it prints there."""
    ours, terminal = pty.openpty()
    process = start_child(
        [*RESOLVER, *command], env=plain_environment(variables), stdout=subprocess.DEVNULL, stderr=terminal
    )
    os.close(terminal)
    printed: list[str] = []
    reader = threading.Thread(target=_read, args=(ours, printed))
    reader.start()
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, lambda: "".join(printed))
        yield printed
    finally:
        stop_child(process)
        reader.join(10)
        os.close(ours)


def _read(terminal: int, printed: list[str]) -> None:
    while True:
        try:
            text = os.read(terminal, 65_536)
        except OSError:
            return  # the last one to write is gone
        printed.append(text.decode())


def ask(port: int) -> None:
    """Make a call of each outcome that a developer sees, and those that health checks make."""
    url = f"http://127.0.0.1:{port}"
    ids = {"organizationId": "acme", "notificationIds": ["n-1"]}
    token = {"authorization": f"Bearer {signed('ben', 'acme')}"}
    for method, path, body, headers in (
        ("POST", "/v2/notifications/add", {"data": notification()}, BACKEND),
        ("POST", "/api/velt/notifications/get", ids, token),
        ("POST", "/api/velt/notifications/get", ids, {}),
        ("GET", "/CANARY?CANARY", None, {}),
        ("GET", "/livez", None, {}),
        ("GET", "/readyz", None, {}),
    ):
        urllib3.request(method, url + path, json=body, headers=headers, retries=False)


def lines_of(printed: list[str], expected: int) -> list[str]:
    """Wait until so many lines are printed, and return all that are."""
    until(lambda: "".join(printed).count("\n") >= expected, lambda: printed, seconds=10)
    return "".join(printed).splitlines()


@pytest.fixture
def console(resolver_environment: dict[str, str]) -> tuple[dict[str, str], int]:
    port = free_port()
    changes = {
        "RESOLVER_LOG_FORMAT": "console",
        "RESOLVER_LOG_LEVEL": "info",
        "RESOLVER_BIND": f"127.0.0.1:{port}",
        "RESOLVER_WORKER": "separate",
        "WEB_CONCURRENCY": "1",
    }
    return {**resolver_environment, **changes}, port


def test_request_line_has_the_colour_of_its_outcome_and_no_content(
    console: tuple[dict[str, str], int],
) -> None:
    with shown(*console, "serve") as printed:
        ask(console[1])
        found = [line for line in lines_of(printed, 5) if " ms " in line]
    wanted = (
        ("mirror", "32", "200 ok", "POST /v2/notifications/add"),
        ("callback", "32", "200 ok", "POST /api/velt/notifications/get"),
        ("callback", "33", "401 denied", "POST /api/velt/notifications/get"),
        ("none", "33", "404 invalid", r"GET \(no such path\)"),
    )
    assert len(found) == len(wanted), "health checks have no line"
    for line, (surface, colour, outcome, called) in zip(found, wanted, strict=True):
        ansi = re.escape(f"{COLOUR}{colour}m") + outcome + r" *" + re.escape(f"{COLOUR}0m")
        assert re.fullmatch(rf"\d\d:\d\d:\d\d  {surface} +{ansi} +\d+\.\d ms  {called}", line), line
    assert "CANARY" not in "".join(printed)


def test_no_color_is_heeded(console: tuple[dict[str, str], int]) -> None:
    with shown({**console[0], "NO_COLOR": "1"}, console[1], "serve") as printed:
        ask(console[1])
        found = lines_of(printed, 5)
    assert [line for line in found if "401 denied" in line]
    assert COLOUR not in "".join(printed)


def test_a_file_gets_no_colours(console: tuple[dict[str, str], int], tmp_path: Path) -> None:
    variables, port = console
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = start_child(
            [*RESOLVER, "serve"], env=plain_environment(variables), stdout=output, stderr=output
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        ask(port)
    finally:
        stop_child(process)
    text = log.read_text(encoding="utf-8")
    assert "401 denied" in text
    assert COLOUR not in text


def test_resolver_dev_prints_request_lines(tmp_path: Path) -> None:
    port, sandbox_port = free_ports(2)
    where = ("--state", str(tmp_path), "--port", str(port), "--sandbox-port", str(sandbox_port))
    with shown({}, port, "dev", *where) as printed:
        urllib3.request("POST", f"http://127.0.0.1:{port}/api/velt/notifications/get", retries=False)
        found = lines_of(printed, 1)
    assert [line for line in found if "401 denied" in line and "/api/velt/notifications/get" in line]
    assert "readyz" not in "".join(printed)
