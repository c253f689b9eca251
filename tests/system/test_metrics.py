"""The shared metrics of several processes, through restarts of all kinds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from resolver.cli.worker import LONGEST_SECONDS
from resolver.ops.metrics_folder import VARIABLE
from tests.support import BACKEND, METRICS_TOKEN, Velt, figures_in, notification
from tests.system.conftest import (
    RESOLVER,
    Served,
    free_port,
    plain_environment,
    serving,
    wait_until_ready,
)
from tests.system.processes import children_of, workers_of
from tests.waiting import until

pytestmark = pytest.mark.system
PROCESSES = 4
DRIP_SECONDS = 0.5
"""A client that drips sends a byte so often."""
OK = 'resolver_request_seconds_count{outcome="ok",surface="mirror"}'
OPEN = 'resolver_breaker_open{service="velt"}'


@pytest.fixture
def four(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    variables = {
        **resolver_environment,
        "RESOLVER_METRICS_TOKEN": METRICS_TOKEN,
        "RESOLVER_WORKER": "separate",
        "WEB_CONCURRENCY": str(PROCESSES),
        VARIABLE: str(tmp_path / "metrics"),
    }
    with serving(variables, tmp_path / "log") as served:
        yield served


def scrape(url: str) -> dict[str, float]:
    bearer = {"authorization": f"Bearer {METRICS_TOKEN}"}
    reply = urllib3.request("GET", f"{url}/metrics", headers=bearer, retries=False, timeout=5)
    assert reply.status == 200, reply.data
    return figures_in(reply.data.decode())


def add(url: str, notification_id: str) -> None:
    """Add over a new connection, so that any of the processes may accept it."""
    body = {"data": notification(notificationId=notification_id)}
    reply = urllib3.request(
        "POST",
        f"{url}/v2/notifications/add",
        json=body,
        headers={**BACKEND, "connection": "close"},
        timeout=5,
        retries=3,
    )
    assert reply.status == 200, reply.data


def replaced(before: set[int], master: int) -> bool:
    now = set(children_of(master))
    return len(now) == PROCESSES and not now & before


@pytest.mark.parametrize("restarts", [4, pytest.param(20, marks=pytest.mark.heavy)])
def test_restarts_of_four_processes_leave_no_stale_gauge_and_no_growing_folder(
    four: Served, velt: Velt, tmp_path: Path, restarts: int
) -> None:
    folder, master = tmp_path / "metrics", four.process.pid
    velt.break_with(status=503)
    for n in range(12):
        add(four.url, f"before-{n}")
    assert scrape(four.url)[OPEN] >= 1
    assert scrape(four.url)[OK] == 12
    velt.mend()
    files = set()
    for restart in range(restarts):
        before = set(children_of(master))
        if restart % 2:
            for child in before:
                os.kill(child, signal.SIGKILL)
        else:
            os.kill(master, signal.SIGHUP)
        until(lambda before=before: replaced(before, master))  # type: ignore[misc]
        wait_until_ready(f"{four.url}/readyz", four.process, tmp_path / "log")
        files |= {path.name for path in folder.iterdir()}
    figures = scrape(four.url)
    assert figures[OPEN] == 0
    assert figures[OK] == 12, "what ended processes counted still counts"
    # Old and new processes run side by side during a reload.
    assert len([name for name in files if name.startswith("slot-")]) <= 2 * PROCESSES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2 * PROCESSES * 1024 * 1024


def test_a_scrape_adds_up_what_all_processes_counted(four: Served) -> None:
    for n in range(40):
        add(four.url, f"n-{n}")
    assert {scrape(four.url)[OK] for _ in range(8)} == {40}


def test_metrics_folder_is_removed_at_exit_and_one_of_a_killed_process_at_the_next_start(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    variables = {**resolver_environment, "RESOLVER_METRICS_TOKEN": METRICS_TOKEN}

    def folder_of(served: Served) -> Path:
        (worker,) = workers_of(served.process.pid)
        environ = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        found = next(entry for entry in environ if entry.startswith(f"{VARIABLE}=".encode()))
        return Path(found.decode().partition("=")[2])

    with serving(variables, tmp_path / "log") as served:
        killed = folder_of(served)
        children = children_of(served.process.pid)
        for pid in (served.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert killed.is_dir()
    long_ago = time.time() - 3600
    os.utime(killed, (long_ago, long_ago))
    with serving(variables, tmp_path / "log") as served:
        assert not killed.exists()
        folder = folder_of(served)
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_unusable_metrics_folder_does_not_prevent_serving(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    for number, folder in enumerate(("/proc/nope", str(tmp_path / "a-file"))):
        (tmp_path / "a-file").touch()
        variables = {**resolver_environment, "RESOLVER_METRICS_TOKEN": METRICS_TOKEN, VARIABLE: folder}
        with serving(variables, tmp_path / f"log-{number}") as served:
            add(served.url, f"n-{number}")
            assert scrape(served.url)[OK] == 1
            assert "metrics_not_shared" in served.log


def test_full_metrics_folder_does_not_prevent_serving(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    """A limit on the size of files stands for a file system that other programs have filled."""
    bind, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    variables = {
        **resolver_environment,
        "RESOLVER_METRICS_TOKEN": METRICS_TOKEN,
        VARIABLE: str(tmp_path / "metrics"),
        # Metrics that have no room aren't shared, so another process doesn't see this one's.
        "WEB_CONCURRENCY": "1",
    }
    env = plain_environment({**variables, "RESOLVER_BIND": bind})
    with log.open("wb") as output:
        process = start_child(
            ["prlimit", "--fsize=100000", *RESOLVER, "serve"], env=env, stdout=output, stderr=output
        )
    try:
        wait_until_ready(f"http://{bind}/readyz", process, log)
        add(f"http://{bind}", "n-1")
        assert scrape(f"http://{bind}")[OK] == 1
    finally:
        stop_child(process)
    assert not list((tmp_path / "metrics").glob("*.part"))


def test_damaged_metrics_files_hide_no_others_and_are_recreated(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    for name, text in (("histogram_0.db", b"\xff\xff\xff\x7fgarbage" * 9), ("histogram_77.db", b"")):
        (folder / name).write_bytes(text)
    variables = {**resolver_environment, "RESOLVER_METRICS_TOKEN": METRICS_TOKEN, VARIABLE: str(folder)}
    with serving(variables, tmp_path / "log") as served:
        add(served.url, "n-1")
        assert scrape(served.url)[OK] == 1


def test_removed_metrics_folder_is_recreated_at_the_next_reload(four: Served, tmp_path: Path) -> None:
    # In one step: if files were removed one by one, a process that is still starting could add another.
    (tmp_path / "metrics").rename(tmp_path / "removed")
    assert scrape(four.url), "meanwhile, what one process counted"
    before = set(children_of(four.process.pid))
    os.kill(four.process.pid, signal.SIGHUP)
    until(lambda: replaced(before, four.process.pid))
    wait_until_ready(f"{four.url}/readyz", four.process, tmp_path / "log")
    for n in range(8):
        add(four.url, f"n-{n}")
    assert {scrape(four.url)[OK] for _ in range(6)} == {8}


@contextmanager
def answering_worker(variables: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run a worker that answers HTTP, and yield its address. On SIGTERM it must exit with 0."""
    bind = f"127.0.0.1:{free_port()}"
    with log.open("wb") as output:
        process = start_child(
            [*RESOLVER, "worker", "--bind", bind], env=plain_environment(variables), stderr=output
        )
    try:
        wait_until_ready(f"http://{bind}/readyz", process, log)
        yield bind
    finally:
        stop_child(process)
    assert process.returncode == 0


def is_cut_off(client: socket.socket) -> bool:
    """Send one more byte of a request, and say whether the worker has ended the connection."""
    try:
        client.send(b"G")
        return client.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_worker_cuts_off_clients_that_send_a_request_slowly(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with answering_worker(resolver_environment, log) as bind, ExitStack() as stack:
        host, _, port = bind.partition(":")
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(40)]

        def are_cut_off() -> bool:
            slow[:] = [client for client in slow if not is_cut_off(client)]
            return not slow

        until(are_cut_off, "the end of all connections", LONGEST_SECONDS + 2, DRIP_SECONDS)
        assert urllib3.request("GET", f"http://{bind}/livez", retries=False, timeout=2).status == 200
    assert b"Traceback" not in log.read_bytes()


def test_separate_worker_serves_its_own_metrics(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    variables = {**resolver_environment, "RESOLVER_METRICS_TOKEN": METRICS_TOKEN}
    with answering_worker(variables, tmp_path / "worker.log") as bind:
        with serving({**variables, "RESOLVER_REGISTRATION": "deferred"}, tmp_path / "log") as served:
            add(served.url, "n-1")
            calls = 'resolver_velt_seconds_count{endpoint="/v2/notifications/add",outcome="ok"}'
            until(lambda: sum(scrape(url).get(calls, 0) for url in (f"http://{bind}", served.url)) == 1)
        for path, status in (("/metrics", 401), ("/v2/notifications/add", 404)):
            assert urllib3.request("GET", f"http://{bind}{path}", retries=False, timeout=5).status == status


def test_worker_that_cannot_listen_exits_with_the_reason(resolver_environment: dict[str, str]) -> None:
    for address in ("127.0.0.1:99999", "nowhere", "256.1.1.1:80"):
        done = subprocess.run(
            [*RESOLVER, "worker", "--bind", address],
            env=plain_environment(resolver_environment),
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 1
        assert f"cannot listen on {address}" in done.stderr
        assert "Traceback" not in done.stderr
