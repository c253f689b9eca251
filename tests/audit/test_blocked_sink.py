"""While a sink blocks or cuts lines off, requests are refused in time and the chain stays whole."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from resolver.audit.event import MAX_LINE_BYTES, Outcome
from resolver.audit.trail import MAX_WAIT_SECONDS, Trail
from resolver.errors import AuditUnavailable
from tests.audit.test_trail import SIGNER, event, events_in, verified
from tests.waiting import until

JSON = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]
AT_ONCE = 0.1
QUEUED_SECONDS = 0.1
"""Until a request that was just started has its line in the queue, or on its way into the sink."""
LATE = 0.3
"""What a busy machine may add to a time limit."""


class Pipe:
    """A named pipe whose reader takes nothing until `drain`."""

    def __init__(self, directory: Path) -> None:
        self.path, self.drained = directory / "pipe", directory / "drained"
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._filler = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)

    def fill(self) -> None:
        """Fill the pipe with empty lines, which have no meaning in a trail."""
        for size in (MAX_LINE_BYTES, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(self._filler, b"\n" * size)

    def drain(self) -> list[tuple[str, str]]:
        """Return request and outcome of each event that has come through so far."""
        with self.drained.open("ab") as file, suppress(BlockingIOError):
            while read := os.read(self._reader, 65_536):
                file.write(read)
        lines = [json.loads(line) for line in self.drained.read_bytes().splitlines() if line]
        return [(line["request"], line["outcome"]) for line in lines if "who" in line]

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._filler)


@contextmanager
def unread_pipe(directory: Path) -> Iterator[Pipe]:
    pipe = Pipe(directory)
    try:
        yield pipe
    finally:
        pipe.close()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    with unread_pipe(tmp_path) as pipe:
        yield pipe


def assert_whole(path: Path) -> None:
    verifier = verified(path)
    assert (verifier.problems, verifier.unsigned) == ([], [])


@pytest.mark.parametrize(("outcome", "lines"), [("ok", ["ok", "failed"]), ("denied", ["denied"])])
def test_request_that_is_refused_while_its_line_is_written_is_followed_by_failed(
    pipe: Pipe, outcome: Outcome, lines: list[str]
) -> None:
    """A line that says that nothing was done is not followed by `failed`, since it stays true."""
    trail = Trail(str(pipe.path), SIGNER)
    trail.record(event(request="before"))
    pipe.fill()
    started = time.monotonic()
    with pytest.raises(AuditUnavailable):
        trail.record(event(request="stuck")._replace(outcome=outcome))
    assert time.monotonic() - started < MAX_WAIT_SECONDS + LATE
    stuck = [("stuck", each) for each in lines]
    until(lambda: pipe.drain()[1:] == stuck, "the line that was stuck")
    trail.record(event(request="after"))
    trail.close()
    assert pipe.drain() == [("before", "ok"), *stuck, ("after", "ok")]
    assert_whole(pipe.drained)


def test_request_that_is_refused_before_its_line_is_begun_leaves_no_line(pipe: Pipe) -> None:
    trail = Trail(str(pipe.path), SIGNER)
    trail.record(event(request="before"))
    pipe.fill()
    for request in ("stuck", "behind", "behind"):
        with pytest.raises(AuditUnavailable):
            trail.record(event(request=request))
    until(lambda: pipe.drain()[-1] == ("stuck", "failed"), "the line that was stuck")
    trail.record(event(request="after"))
    trail.close()
    assert ("behind", "ok") not in pipe.drain()
    assert_whole(pipe.drained)


def test_blocked_lines_are_signed_without_another_event(pipe: Pipe) -> None:
    def is_signed() -> bool:
        pipe.drain()
        verifier = verified(pipe.drained)
        return not (verifier.problems or verifier.unsigned or verifier.notes)

    trail = Trail(str(pipe.path), SIGNER)
    trail.record(event(request="before"))
    until(is_signed, "a signature of what stands before")
    pipe.fill()
    with pytest.raises(AuditUnavailable):
        trail.record(event(request="stuck"))
    until(lambda: pipe.drain()[-1] == ("stuck", "failed"), "the line that was stuck")
    until(is_signed, "a signature", seconds=10)
    trail.close()


def test_trail_that_is_closed_while_its_sink_blocks_ends_in_time(pipe: Pipe) -> None:
    trail = Trail(str(pipe.path), SIGNER)
    trail.record(event(request="before"))
    pipe.fill()
    with pytest.raises(AuditUnavailable):
        trail.record(event(request="stuck"))
    started = time.monotonic()
    trail.close()
    assert time.monotonic() - started < 2 * MAX_WAIT_SECONDS + LATE
    until(lambda: pipe.drain()[-1] == ("stuck", "failed"), "the line that was stuck")
    trail.close()
    pipe.drain()
    assert_whole(pipe.drained)


def test_lines_of_concurrent_requests_take_few_writes() -> None:
    """The socket keeps writes apart. The first write is waited for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    trail = Trail("-", SIGNER, standard=ours.fileno())
    with ours, theirs:
        with suppress(BlockingIOError):
            while True:
                ours.send(b"\n", socket.MSG_DONTWAIT)
        waiting = threading.Barrier(33)

        def record() -> None:
            waiting.wait()
            trail.record(event())

        threads = [threading.Thread(target=record) for _ in range(32)]
        for thread in threads:
            thread.start()
        waiting.wait()
        # No state shows that their lines are in the queue. With too short a pause there are more writes, not
        # fewer, so that the check below can't pass by mistake.
        time.sleep(QUEUED_SECONDS)
        writes = []
        while any(thread.is_alive() for thread in threads):
            with suppress(BlockingIOError):
                writes.append(theirs.recv(65_536, socket.MSG_DONTWAIT))
        trail.close()
        with suppress(BlockingIOError):
            while True:
                writes.append(theirs.recv(65_536, socket.MSG_DONTWAIT))
    writes = [write for write in writes if write != b"\n"]
    assert b"".join(writes).count(b'"who"') == 32
    assert len(writes) < 16
    assert all(write.endswith(b"\n") and len(write) <= MAX_LINE_BYTES for write in writes)


def run(script: str, *arguments: str | Path) -> None:
    given = list(map(str, arguments))
    subprocess.run([sys.executable, "-c", script, *given], cwd=REPOSITORY, check=True, timeout=60)


CUT_OFF = """
import resource, sys
from pathlib import Path
from resolver.audit.trail import Trail
from resolver.errors import AuditUnavailable
from tests.audit.test_blocked_sink import SIGNER, event
ids = [f"notification-{n:040d}" for n in range(150)]  # three lines, which go out in one write
for room in map(int, sys.argv[2:]):
    path = Path(sys.argv[1], str(room))
    trail = Trail(str(path), SIGNER)
    trail.record(event(request="before"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
    try:
        trail.record(event(request="cut", ids=ids))
    except AuditUnavailable:
        Path(f"{path}.refused").touch()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    trail.record(event(request="after"))
    trail.close()
"""


def test_write_that_is_cut_off_anywhere_leaves_a_chain_that_verifies(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    trail = Trail(str(whole), SIGNER)
    trail.record(event(ids=[f"notification-{n:040d}" for n in range(150)], request="cut"))
    trail.close()
    ends = [len(line) + 1 for line in whole.read_bytes().splitlines() if b'"cut"' in line]
    assert len(ends) == 3
    first, second = ends[0], ends[0] + ends[1]
    rooms = [0, 1, 500, *(end + by for end in (first, second, sum(ends)) for by in (-2, -1, 0, 1))]
    run(CUT_OFF, tmp_path, *map(str, rooms))
    for room in rooms:
        path = tmp_path / str(room)
        verifier = verified(path)
        assert (verifier.problems, verifier.unsigned) == ([], []), room
        lines = [json.loads(line) for line in path.read_bytes().splitlines() if is_json(line)]
        cut = [line for line in lines if line.get("request") == "cut"]
        refused = path.with_name(f"{room}.refused").exists()
        assert refused == (room < sum(ends) - 1)
        assert [line["outcome"] for line in cut] == ["ok"] * (room_for(room, ends)) + ["failed"] * (
            refused and room >= first - 1
        )
        assert lines[-2]["request"] == "after"


def is_json(line: bytes) -> bool:
    with suppress(ValueError):
        return bool(json.loads(line))
    return False


def room_for(room: int, ends: list[int]) -> int:
    """How many lines are whole: one that lacks its newline gets that before the next one."""
    return sum(sum(ends[: n + 1]) - 1 <= room for n in range(len(ends)))


def test_lines_of_processes_on_one_pipe_are_not_mixed(tmp_path: Path) -> None:
    script = """
import sys, threading
from resolver.audit.trail import Trail
from tests.audit.test_blocked_sink import SIGNER, event
trail = Trail("-", SIGNER)
def work(n):
    for m in range(50):
        trail.record(event(request=f"{sys.argv[1]}-{n}-{m}", ids=[f"n-{m}" for m in range(m)]))
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    read, write = os.pipe()
    path = tmp_path / "audit.log"
    with path.open("wb") as file:
        reader = subprocess.Popen(["cat"], stdin=read, stdout=file)
    os.close(read)
    command = [sys.executable, "-c", script]
    writers = [subprocess.Popen([*command, str(n)], stdout=write, cwd=REPOSITORY) for n in range(3)]
    os.close(write)
    assert [process.wait(60) for process in (*writers, reader)] == [0] * 4
    seen = [line["request"] for line in events_in(path)]
    assert len(seen) == len(set(seen)) == 3 * 8 * 50
    assert_whole(path)


STUCK_UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent
from gevent.os import tp_read
from resolver.audit.trail import Trail
from resolver.errors import AuditUnavailable
from tests.audit.test_blocked_sink import SIGNER, event

trail, pauses, waits = Trail(sys.argv[1], SIGNER), [], []

def others():
    while True:
        started = time.monotonic()
        gevent.sleep(0.005)
        pauses.append(time.monotonic() - started)

def refused(number):
    started = time.monotonic()
    try:
        trail.record(event(request=f"stuck-{number}"))
    except AuditUnavailable:
        waits.append(time.monotonic() - started)

def say(**what):
    print(json.dumps(what), flush=True)
    tp_read(0, 1)

trail.record(event(request="before"))
say()
gevent.spawn(others)
killed = gevent.spawn(refused, "killed")
stuck = [gevent.spawn(refused, number) for number in range(16)]
gevent.sleep(float(sys.argv[2]))
killed.kill()
gevent.joinall(stuck)
refused("late")
say(pauses=pauses, waits=waits)
trail.record(event(request="after"))
"""


def test_gevent_process_goes_on_answering_while_its_sink_blocks(pipe: Pipe) -> None:
    # No state shows that a line is stuck in the pipe. With too short a pause the killed request leaves no
    # line, and it must have left one.
    command = [sys.executable, "-c", STUCK_UNDER_GEVENT, str(pipe.path), str(QUEUED_SECONDS)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    with process, ended_after(20, process):
        process.stdout.readline()
        pipe.fill()
        go_on(process.stdin)
        found = json.loads(process.stdout.readline())
        assert len(found["waits"]) == 17
        assert max(found["waits"]) < MAX_WAIT_SECONDS + LATE
        assert max(found["pauses"]) < AT_ONCE
        until(lambda: pipe.drain()[-1][1] == "failed", "the lines that were stuck")
        go_on(process.stdin)
    assert process.returncode == 0
    events = pipe.drain()
    assert (events[0], events[-1]) == (("before", "ok"), ("after", "ok"))
    done = [request for request, outcome in events[1:-1] if outcome == "ok"]
    undone = [request for request, outcome in events[1:-1] if outcome == "failed"]
    assert done == undone
    assert "stuck-killed" in done
    assert "stuck-late" not in done
    assert_whole(pipe.drained)


@contextmanager
def ended_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def go_on(stdin: Any) -> None:
    stdin.write(b"\n")
    stdin.flush()


def test_lines_of_many_greenlets_are_all_there_once_and_signed_at_the_end(tmp_path: Path) -> None:
    script = """
from gevent import monkey
monkey.patch_all()
import sys, threading
from resolver.audit.trail import Trail
from tests.audit.test_blocked_sink import SIGNER, event
trail = Trail(sys.argv[1], SIGNER)
def work(n):
    for m in range(100):
        trail.record(event(request=f"{n}-{m}"))
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    path = tmp_path / "audit.log"
    run(script, path)
    seen = [line["request"] for line in events_in(path)]
    assert len(seen) == len(set(seen)) == 1600
    assert_whole(path)


def test_gevent_process_refuses_events_at_once_while_no_native_thread_can_be_started(tmp_path: Path) -> None:
    script = """
from gevent import monkey
monkey.patch_all()
import resource, sys, threading, time
from resolver.audit.trail import Trail
from resolver.errors import AuditUnavailable
from tests.audit.test_blocked_sink import SIGNER, event
trail = Trail(sys.argv[1], SIGNER)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, limits[1]))  # a thread's stack takes more
started = time.monotonic()
for _ in range(10):
    try:
        trail.record(event(request="refused"))
    except AuditUnavailable:
        continue
    sys.exit("was recorded")
assert time.monotonic() - started < 0.4
resource.setrlimit(resource.RLIMIT_AS, limits)
trail.record(event(request="later"))
"""
    path = tmp_path / "audit.log"
    run(script, path)
    assert [line["request"] for line in events_in(path)] == ["later"]
    assert_whole(path)


BURST_UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent
from resolver.audit.trail import Trail
from resolver.errors import AuditUnavailable
from tests.audit.test_blocked_sink import SIGNER, event

trail, outcomes = Trail(sys.argv[1], SIGNER), []

def record(number):
    busy_until = time.perf_counter() + 0.0003
    while time.perf_counter() < busy_until:
        pass
    try:
        trail.record(event(request=f"burst-{number}"))
        outcomes.append("written")
    except AuditUnavailable as error:
        outcomes.append(error.reason)

gevent.joinall([gevent.spawn(record, number) for number in range(300)])
for number in range(3):
    record(f"later-{number}")
print(json.dumps(outcomes[-3:]))
trail.close()
"""


def test_gevent_process_goes_on_recording_after_a_burst_right_at_its_start(tmp_path: Path) -> None:
    """The first entries start the threads; what starts them must not keep the event loop from a lock."""
    for attempt in range(3):
        done = subprocess.run(
            [sys.executable, "-c", BURST_UNDER_GEVENT, str(tmp_path / f"{attempt}.log")],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        (outcomes,) = [line for line in done.stdout.splitlines() if line.startswith("[")]
        assert json.loads(outcomes) == ["written"] * 3, done.stderr[-2000:]
