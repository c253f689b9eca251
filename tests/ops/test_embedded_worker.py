"""When gunicorn's master starts, restarts and ends the embedded worker."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolver.ops import embedded_worker
from resolver.ops.embedded_worker import LONGEST_PAUSE_SECONDS, EmbeddedWorker, RestartPauses
from tests.system.processes import children_of, command_of
from tests.waiting import until

# Instead of `resolver worker`, which takes a second to start. Each ends by itself if a test leaves it behind.
SLEEPS = "import time; time.sleep(60)"
IGNORES_TERM = f"from signal import *; signal(SIGTERM, SIG_IGN); open({{path!r}}, 'w'); {SLEEPS}"


class Master:
    """A process that supervises a worker, and the alarms that it set."""

    def __init__(self, script: str, python: str = sys.executable) -> None:
        self.alarms: list[float] = []
        self._mark = f"# {id(self)}"
        command = [python, "-c", f"{script} {self._mark}"]
        self.worker = EmbeddedWorker(command, logging.getLogger("tests.master"), self.alarms.append)

    def running(self) -> list[int]:
        return [pid for pid in children_of(os.getpid()) if self._mark in command_of(pid)]

    def running_one(self) -> int:
        """Return the worker's process id. A new process shows no arguments for a moment."""
        until(lambda: len(self.running()) > 0, "a worker runs")
        (found,) = self.running()
        return found


@pytest.fixture
def master() -> Iterator[Master]:
    found = Master(SLEEPS)
    yield found
    found.worker.stop()


def test_restart_pauses_double_up_to_half_a_minute() -> None:
    pauses = RestartPauses()
    assert [pauses.after(0.2) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, LONGEST_PAUSE_SECONDS]


def test_restart_pauses_begin_anew_after_a_long_life() -> None:
    pauses = RestartPauses()
    assert [pauses.after(1) for _ in range(3)] == [0.5, 1, 2]
    assert [pauses.after(3600), pauses.after(1)] == [0.5, 1]


def test_worker_is_started_once_however_often_it_is_looked_after(master: Master) -> None:
    for _ in range(3):
        master.worker.supervise()
    master.running_one()
    assert f"--parent {os.getpid()}" in command_of(master.running()[0])


def test_worker_that_ended_is_started_after_its_pause_and_not_before(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    master.worker.supervise()
    first = master.running_one()
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    noticed = time.monotonic()
    master.worker.supervise()
    master.worker.supervise()
    assert master.running() == []
    assert master.alarms == [pytest.approx(0.5, abs=0.1)] * 2
    assert caplog.messages == ["worker_ended: exit_status=-9 restart_in_seconds=0.5"]

    def runs_again() -> list[int]:
        master.worker.supervise()
        return master.running()

    until(runs_again, "a worker after the pause", seconds=5)
    assert time.monotonic() - noticed >= 0.5


def test_worker_that_cannot_be_started_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    master = Master(SLEEPS, python="/no/such/program")
    master.worker.supervise()
    master.worker.supervise()
    assert caplog.messages == ["worker_not_started: FileNotFoundError restart_in_seconds=0.5"]
    assert master.alarms[0] == pytest.approx(0.5, abs=0.1)
    master.worker.replace()
    master.worker.stop()


def test_replaced_worker_is_followed_by_another_without_a_pause(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    master.worker.supervise()
    first = master.running_one()
    master.worker.replace()
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    master.worker.supervise()
    master.running_one()
    assert (master.alarms, caplog.messages) == ([], [])


def test_worker_whose_end_another_part_of_the_master_collected_is_started_again(master: Master) -> None:
    master.worker.supervise()
    first = master.running_one()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    master.worker.supervise()
    assert master.alarms[0] == pytest.approx(0.5, abs=0.1)


def test_worker_that_does_not_stop_is_killed_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedded_worker, "STOP_SECONDS", 0.3)
    started = tmp_path / "started"
    master = Master(IGNORES_TERM.format(path=str(started)))
    master.worker.supervise()
    until(started.exists, "it ignores TERM")
    master.worker.stop()
    assert master.running() == []
    assert "worker_killed" in caplog.text
