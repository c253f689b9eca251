"""`resolver serve` and `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, run as in production."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3
from redis import Redis

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from resolver.config import load
from resolver.wiring import build_stores
from tests.support import Velt, environment
from tests.system.conftest import RESOLVER, Served, free_port, plain_environment, serving, wait_until_ready
from tests.system.load import add
from tests.system.processes import (
    children_of,
    command_of,
    is_running,
    suspended,
    threads_of,
    web_processes_of,
    workers_of,
)
from tests.waiting import until

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
AGAIN = urllib3.Retry(3, respect_retry_after_header=False)
"""The kernel may give a connection to the suspended process; a new connection reaches the other one."""


def test_sigterm_ends_serve_with_exit_status_0(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(15) == 0


def test_each_request_is_one_line_of_the_log_without_its_query(served: Served) -> None:
    urllib3.request("GET", f"{served.url}/livez?secret=CANARY", retries=False)
    lines = [line for line in served.log.splitlines() if '"/livez"' in line]
    assert len(lines) == 1
    assert "CANARY" not in served.log


def test_serve_is_gunicorns_master_with_web_processes_and_one_worker(served: Served) -> None:
    master = served.process.pid
    assert "gunicorn" in command_of(master)
    assert len(web_processes_of(master)) == len(workers_of(master)) == 1
    assert len(threads_of(master)) == 1, "forking is safe in a process without threads"


@pytest.mark.parametrize("killed", ["master", "gone before it was known"])
def test_worker_ends_when_its_master_was_killed(
    served: Served, resolver_environment: dict[str, str], killed: str
) -> None:
    if killed == "master":
        pids = [*web_processes_of(served.process.pid), *workers_of(served.process.pid)]
        served.process.kill()
        served.process.wait()
        until(lambda: not any(map(is_running, pids)), seconds=15)
    else:
        done = subprocess.run(
            [*RESOLVER, "worker", "--parent", str(served.process.pid)],
            env=plain_environment(resolver_environment),
            timeout=30,
            check=False,
        )
        assert done.returncode == 0


def test_stop_lets_the_worker_finish_what_is_under_way(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    changes = {"RESOLVER_REGISTRATION": "deferred", "RESOLVER_DRAIN_SECONDS": "0"}
    with serving({**resolver_environment, **changes}, tmp_path / "log") as served:
        velt.break_with(latencyMs=2000)
        assert add(served.url, "n-1")[0] == 200
        until(lambda: build_stores(load(resolver_environment)).outbox.depth().waiting == 1, seconds=5)
        (worker,) = workers_of(served.process.pid)
        until(lambda: "n-1" in str(velt.ledger()), seconds=10)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
        assert not is_running(worker)
    assert build_stores(load(resolver_environment)).outbox.depth().waiting == 0


def test_headers_that_are_far_too_large_are_refused(served: Served) -> None:
    headers = {"authorization": "Bearer " + "x" * 20_000}
    reply = urllib3.request(
        "POST", f"{served.url}/api/velt/notifications/get", headers=headers, retries=False
    )
    assert 400 <= reply.status < 500


def test_production_refuses_to_start_and_names_every_problem() -> None:
    env = plain_environment({"RESOLVER_CALLER_TOKENS": "a:short"})
    done = subprocess.run(
        [*RESOLVER, "serve"], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    for name in ("VELT_API_KEY", "VELT_AUTH_TOKEN", "RESOLVER_CALLER_TOKENS", "RESOLVER_MASTER_KEYS"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_production_refuses_velts_own_token_as_a_caller_token() -> None:
    same = "one-token-for-everything-0123456789"
    changes = {"VELT_AUTH_TOKEN": same, "RESOLVER_CALLER_TOKENS": f"a:{same}", "RESOLVER_MODE": "production"}
    env = plain_environment(environment(**changes))
    done = subprocess.run(
        [*RESOLVER, "serve"], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "equals VELT_AUTH_TOKEN" in done.stderr


@pytest.mark.parametrize("settings", ["gunicorn_settings", "gunicorn_with_worker"])
def test_gunicorns_master_imports_nothing_that_its_workers_could_not_make_cooperative(settings: str) -> None:
    """Each forked worker inherits the modules that the master has imported, as they are."""
    script = f"import sys, resolver.ops.{settings}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    sockets = {"redis", "jwt", "urllib3", "prometheus_client", "structlog", "asyncio", "http.client"}
    assert not sockets & set(done.stdout.split())


def test_worker_is_made_cooperative_before_it_imports_anything_that_opens_sockets() -> None:
    """The installed script and `python -m resolver` both begin in this module."""
    script = """
import sys
from resolver.__main__ import main
from gevent import monkey
monkey.patch_all = lambda: print(*sys.modules)
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "worker", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    imported = set(done.stdout.splitlines()[0].split())
    assert "resolver.__main__" in imported
    assert not {"redis", "jwt", "urllib3", "ssl", "resolver.cli", "click"} & imported


def test_other_commands_are_not_made_cooperative() -> None:
    script = "import sys; from resolver.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script, "check", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "resolver.cli" in done.stderr
    assert "gevent" not in done.stderr


def test_the_documented_gunicorn_command_serves(resolver_environment: dict[str, str], tmp_path: Path) -> None:
    bind, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    env = plain_environment({**resolver_environment, "RESOLVER_BIND": bind, "WEB_CONCURRENCY": "1"})
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--chdir",
        str(ROOT),
        "-c",
        "deploy/gunicorn.conf.py",
        "wsgi:app",
    ]
    with log.open("wb") as output:
        process = start_child(command, env=env, stdout=output, stderr=output, cwd=ROOT)
    try:
        wait_until_ready(f"http://{bind}/readyz", process, log)
        assert not workers_of(process.pid), "`resolver serve` alone starts one"
    finally:
        stop_child(process)


@pytest.mark.parametrize("command", ["gunicorn", "resolver serve"])
def test_a_setting_of_the_server_that_cannot_be_used_is_named(
    resolver_environment: dict[str, str], command: str
) -> None:
    env = plain_environment({**resolver_environment, "RESOLVER_DRAIN_SECONDS": "soon"})
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]
    done = subprocess.run(
        gunicorn if command == "gunicorn" else [*RESOLVER, "serve"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "RESOLVER_DRAIN_SECONDS: must be a whole number from 0 to 300" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_is_down_does_not_stop_the_start(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    bind, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    env = {**resolver_environment, "RESOLVER_BIND": bind, "REDIS_URL": "redis://127.0.0.1:1/0"}
    with log.open("wb") as output:
        process = start_child([*RESOLVER, "serve"], env=plain_environment(env), stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://{bind}/livez", process, log)
        assert urllib3.request("GET", f"http://{bind}/readyz", retries=False).status == 503
    finally:
        stop_child(process)
    first, *_ = log.read_text().splitlines()
    assert first == "Requests are answered 503 until this is mended: redis: ConnectionError"


def test_serve_says_which_address_is_in_use(resolver_environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = subprocess.run(
            [*RESOLVER, "serve", "--bind", address],
            env=plain_environment(resolver_environment),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: {address} is in use by another process. Stop it, or name another address with --bind.\n",
    )


def test_every_web_process_is_ready_without_having_been_asked_before_redis_freezes(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    """During an outage that all processes share, an orchestrator must not stop those that were ready."""
    server = LocalRedis(tmp_path / "redis")
    bind, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    changes = {"REDIS_URL": server.url, "RESOLVER_BIND": bind, "WEB_CONCURRENCY": "2"}
    env = plain_environment({**resolver_environment, **changes, "RESOLVER_WORKER": "separate"})
    with log.open("wb") as output:
        process = start_child([*RESOLVER, "serve"], env=env, stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://{bind}/livez", process, log)
        with Redis(unix_socket_path=str(server.socket)) as redis:
            until(lambda: connections_that_looked(redis) == 2, seconds=10)
        with suspended(server.pid):
            for one, other in itertools.permutations(children_of(process.pid)):
                with suspended(one):
                    reply = urllib3.request("GET", f"http://{bind}/readyz", retries=AGAIN, timeout=2)
                expected = (200, {"status": "ok", "redis": "down"})
                assert (reply.status, reply.json()) == expected, f"process {other}"
    finally:
        stop_child(process)
        server.stop()


def test_worker_that_crashes_is_restarted_with_growing_pauses_and_a_log_line_for_each(served: Served) -> None:
    pauses = (0.5, 1.0, 2.0)
    took = seconds_to_kill_workers(served, len(pauses) + 1)
    assert took >= sum(pauses)
    until(lambda: len(worker_ends(served)) == len(pauses) + 1, seconds=5)
    assert worker_ends(served) == [("-9", str(pause)) for pause in (*pauses, 4.0)]


def seconds_to_kill_workers(served: Served, number: int) -> float:
    """Kill so many workers, each as soon as it runs. Returns the seconds from the first to the last."""
    killed: dict[int, float] = {}

    def are_killed() -> bool:
        for pid in {*workers_of(served.process.pid)} - killed.keys():
            os.kill(pid, signal.SIGKILL)
            killed[pid] = time.monotonic()
        return len(killed) >= number

    until(are_killed, f"{number} workers")
    return max(killed.values()) - min(killed.values())


def worker_ends(served: Served) -> list[tuple[str, str]]:
    """Return exit status and pause of each ended worker, as the log has them."""
    return re.findall(r"worker_ended: exit_status=(\S+) restart_in_seconds=(\S+)", served.log)


def connections_that_looked(redis: Redis) -> int:
    """Connections whose last command looked for the database's identity, as readiness does."""
    return sum(client["cmd"] == "exists" for client in redis.client_list())
