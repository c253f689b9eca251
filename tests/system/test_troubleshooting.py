"""The commands in docs/troubleshooting.md print what the page shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shlex import quote

import pytest
import urllib3

from tests.guides import ROOT, Terminal, shows, steps
from tests.support import BACKEND, Velt, notification
from tests.system.conftest import Served, caller_of, plain_environment, serving
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
ADD = "/v2/notifications/add"


@pytest.fixture
def troubled(resolver_environment: dict[str, str], velt: Velt, tmp_path: Path) -> Iterator[Terminal]:
    """The environment of a resolver that holds a narrowed notification, a dead letter and a waiting
    command."""
    resolver_environment |= {
        "RESOLVER_CORS_ORIGINS": "https://app.example.com",
        "RESOLVER_AUDIT_LOG": str(tmp_path / "audit.log"),
    }
    variables = {**resolver_environment, "PYTHONPATH": str(ROOT)}
    with (
        serving(resolver_environment, tmp_path / "log") as served,
        closing(Terminal(tmp_path, plain_environment({**variables, **caller_of(served)}))) as terminal,
    ):
        terminal.type(f'resolver() {{ {quote(sys.executable)} -m resolver "$@"; }}')
        add(served, "n-1")
        add(served, "narrowed-1", notifyAll=True, context={"access": {"team": "deals"}})
        velt.break_with(path=ADD, status=503, count=1)
        velt.break_with(path=ADD, status=400, errorStatus="FAILED_PRECONDITION", count=1)
        add(served, "refused-1")
        until(lambda: json.loads(terminal.type("resolver outbox status --json"))["dead"] == 1, seconds=20)
        velt.break_with(path=ADD, status=503)
        add(served, "late-1")
        yield terminal


def add(served: Served, id_: str, **changes: object) -> None:
    body = {"data": notification(notificationId=id_, **changes)}
    added = urllib3.request("POST", f"{served.url}{ADD}", json=body, headers=BACKEND, retries=False)
    assert added.status == 200, added.data


def test_every_command_prints_what_is_shown(troubled: Terminal) -> None:
    done = [(step, troubled.type(step.block.text)) for step in steps("troubleshooting.md")]
    assert len(done) >= 10
    wrong = [f"line {step.block.line}: {printed}" for step, printed in done if not shows(step.shown, printed)]
    assert wrong == []
