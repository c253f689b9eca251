"""The code in docs/backend.md, in each language, prints what the page shows, with a resolver and a
sandbox."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.guides import blocks, shows, steps
from tests.servers import Service, running
from tests.system.conftest import Served, caller_of, plain_environment

pytestmark = pytest.mark.system
RUNNERS = {
    "python": ([sys.executable], "script.py"),
    "velt-py": ([sys.executable], "script.py"),
    "js": (["node"], "script.mjs"),
    "sh": (["sh", "-eu"], "script.sh"),
}


@pytest.mark.parametrize("language", RUNNERS)
def test_all_blocks_of_a_language_are_one_program_that_prints_what_they_show(
    served: Served, language: str, tmp_path: Path
) -> None:
    command, name = RUNNERS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = [step for step in steps("backend.md") if step.block.kind == language]
    (tmp_path / name).write_text("\n".join(step.block.text for step in done), encoding="utf-8")
    found = subprocess.run(
        [*command, name],
        cwd=tmp_path,
        env=plain_environment(caller_of(served)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    expected = "".join(step.shown for step in done)
    assert expected
    assert shows(expected, found.stdout), found.stdout


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The functions that the Python part defines, without its last lines, which run them."""
    for name in ("VELT_API_KEY", "CALLER_TOKEN"):
        monkeypatch.setenv(name, "x")
    code = ast.parse("\n".join(block.text for block in blocks("backend.md") if block.kind == "python"))
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    code.body = [node for node in code.body if isinstance(node, kinds) or "HEADERS = " in ast.unparse(node)]
    defined: dict[str, Any] = {}
    exec(compile(code, "backend.md", "exec"), defined)
    return defined


class _Unsteady(Service):
    """A server whose answers are, in turn: a balancer's error page, a 503 with Retry-After, and a success."""

    def answer(self, headers: dict[str, Any], raw: bytes) -> tuple[int, bytes]:
        self.requests.append(headers)
        self.reply_headers = {"retry-after": "7"} if len(self.requests) == 2 else {}
        return (
            (502, b"<html>Bad gateway</html>"),
            (503, b'{"error": {"message": "Retry.", "status": "UNAVAILABLE"}}'),
            (200, b"<html>Welcome to this hotel</html>"),
            (200, b'{"result": {"status": "success"}}'),
        )[len(self.requests) - 1]


def test_python_sample_repeats_a_proxys_answer_and_waits_for_retry_after(
    sample: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with running(_Unsteady()) as service:
        monkeypatch.setenv("RESOLVER", service.url)
        assert sample["ask_patiently"]("add", {}, key="order-1042") == {"status": "success"}
    assert [asked["idempotency-key"] for asked in service.requests] == ["order-1042"] * 4
    assert pauses[1] == 7
    assert all(pause < 7 for pause in (pauses[0], pauses[2]))


def test_python_sample_gives_up_on_a_proxys_page_with_its_status(
    sample: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    with running(Service(status=504, body=b"<html>")) as service:
        monkeypatch.setenv("RESOLVER", service.url)
        with pytest.raises(sample["Refused"]) as raised:
            sample["ask_patiently"]("add", {})
    assert (raised.value.http, raised.value.status) == (504, "UNKNOWN")
    assert len(service.requests) == 4
