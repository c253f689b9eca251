"""A web process is restarted after max-requests, ends in time, is replaced, and sleeps while idle."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from resolver.store.keyspace import RECORD_PATTERN
from tests.support import Velt, keys_of
from tests.system.conftest import Served, serving
from tests.system.load import add
from tests.system.processes import children_of, cpu_share, wait_until_idle
from tests.system.web_process.clients import (
    AT_ONCE,
    HALF,
    LAST_LIVEZ,
    Environment,
    child,
    clients,
    everything,
    files,
    read,
    seconds_for_livez,
    slowest_of_ten,
    wait_until_read,
)
from tests.waiting import until

pytestmark = pytest.mark.system
WATCHED_SECONDS = 3
"""How long an idle process is watched."""


def test_web_process_is_restarted_after_max_requests_without_a_failed_request(
    alone: Environment, tmp_path: Path
) -> None:
    settings = {**alone, "GUNICORN_CMD_ARGS": "--max-requests 100"}
    with serving(settings, tmp_path / "log") as served, ThreadPoolExecutor(4) as pool:
        first = child(served)
        statuses = list(pool.map(lambda _: read(served), range(150)))
        assert set(statuses) == {200}
        until(lambda: first not in children_of(served.process.pid), seconds=5)
        until(lambda: seconds_for_livez(served) < AT_ONCE, seconds=5)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_web_process_ends_in_time_when_clients_are_silent(
    alone: Environment, tmp_path: Path, stop: signal.Signals
) -> None:
    with serving(alone, tmp_path / "log") as served, ExitStack() as stack:
        waiting = stack.enter_context(clients(served, 3))
        if stop is signal.SIGINT:  # which waits for no request that is under way
            waiting += stack.enter_context(clients(served, 8, HALF))
        wait_until_read(served, *waiting)
        asked = time.monotonic()
        served.process.send_signal(stop)
        assert served.process.wait(20) == 0
        assert time.monotonic() - asked < 3 + AT_ONCE
        assert "Socket error" not in served.log


def test_sigterm_under_load_answers_every_accepted_request(
    alone: Environment, redis_of_ours: LocalRedis, tmp_path: Path, velt: Velt
) -> None:
    velt.break_with(latencyMs=300)
    redis = Redis.from_url(redis_of_ours.url)
    held = len(keys_of(redis, RECORD_PATTERN))
    with serving(alone, tmp_path / "log") as served, ThreadPoolExecutor(16) as pool:
        adds = [pool.submit(add, served.url, f"term-{number}") for number in range(16)]
        with clients(served, 16, LAST_LIVEZ) as others:
            # Content is stored before Velt is asked: then each add is accepted, and most are under way.
            until(lambda: len(keys_of(redis, RECORD_PATTERN)) == held + 16, "all are accepted")
            served.process.send_signal(signal.SIGTERM)
            assert all(b"200 OK" in everything(connection) for connection in others)
        assert {asked.result()[0] for asked in adds} == {200}
        assert served.process.wait(15) == 0


def test_aborted_web_process_is_replaced_and_leaves_no_file_open(
    web_process: Served,
) -> None:
    def replaced(sent: signal.Signals) -> None:
        before = child(web_process)
        os.kill(before, sent)
        until(lambda: not Path(f"/proc/{before}").exists(), seconds=5)
        until(lambda: seconds_for_livez(web_process) < AT_ONCE, seconds=5)

    replaced(signal.SIGKILL)
    before = files(web_process.process.pid)
    for _ in range(2):
        replaced(signal.SIGKILL)
    # Those after the first arrive while the process starts.
    for sent in (signal.SIGABRT, *[signal.SIGQUIT] * 4):
        replaced(sent)
    assert files(web_process.process.pid) == before


def test_idle_web_process_sleeps(web_process: Served) -> None:
    process = child(web_process)
    assert slowest_of_ten(web_process) < AT_ONCE
    wait_until_idle(process)
    before = switches(process)
    assert cpu_share(process, WATCHED_SECONDS) < 0.066
    assert switches(process) - before < WATCHED_SECONDS * 20


def switches(process: int) -> int:
    statuses = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/status")]
    return sum(int(found) for text in statuses for found in re.findall(r"ctxt_switches:\s*(\d+)", text))
