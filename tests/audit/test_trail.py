"""The audit trail: whole lines in order with concurrent writers, and no writer that waits for long."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.audit.chain import Link
from resolver.audit.event import MAX_LINE_BYTES, Actor, Event
from resolver.audit.signing import Signer
from resolver.audit.trail import MAX_PER_SECOND, Refusals, Trail
from resolver.audit.verify import Verifier
from resolver.config.secret import Secret
from resolver.errors import AuditUnavailable, StoreUnavailable
from tests.waiting import until

JSON = dict[str, Any]
SIGNER = Signer([Secret(b"i" * 31 + b"x")])
BEN = Actor("user", "ben")


def event(**changes: Any) -> Event:
    given: JSON = {"organization": "acme", "ids": ["n-1"], "request": "r-1", **changes}
    return Event(given.pop("actor", BEN), "callback", "get", "ok", **given)


def events_in(path: Path) -> list[JSON]:
    return [line for line in map(json.loads, path.read_bytes().splitlines()) if "who" in line]


def verified(*paths: Path) -> Verifier:
    verifier = Verifier([SIGNER.public_key])
    for path in paths:
        with path.open("rb") as lines:
            verifier.read(path.name, lines)
    verifier.finish()
    return verifier


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def trail(path: Path) -> Iterator[Trail]:
    trail = Trail(str(path), SIGNER)
    yield trail
    trail.close()


def test_event_names_actor_action_and_ids(trail: Trail, path: Path) -> None:
    trail.record(event(denied=["n-2"], more={"absent": 3}))
    (line,) = events_in(path)
    assert line["who"] == {"kind": "user", "id": "ben"}
    assert [line[name] for name in ("surface", "action", "outcome", "request")] == [
        "callback",
        "get",
        "ok",
        "r-1",
    ]
    assert [line[name] for name in ("organization", "ids", "denied", "absent")] == [
        "acme",
        ["n-1"],
        ["n-2"],
        3,
    ]


def test_nothing_is_opened_before_the_first_event(path: Path) -> None:
    Trail(str(path), SIGNER).close()
    assert not path.exists()


def test_checkpoint_is_made_within_a_second_and_at_close(trail: Trail, path: Path) -> None:
    trail.record(event())
    until(lambda: lines_of(path)[-1]["action"] == "anchor", "a checkpoint", seconds=1.3)
    trail.record(event())
    trail.close()
    verifier = verified(path)
    assert (verifier.problems, verifier.notes) == ([], [])


def test_close_waits_for_a_checkpoint_in_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a process that ended at this moment would leave last lines without a checkpoint."""
    monkeypatch.setattr("resolver.audit.trail.CHECKPOINT_SECONDS", 0.01)
    signing, kept = threading.Event(), []

    class Slow(Signer):
        def sign(self, text: bytes) -> str:
            signing.set()
            time.sleep(0.2)  # a slow signer: `close` is called meanwhile, and can't be seen to wait
            return super().sign(text)

    trail = Trail(str(path), Slow([Secret(b"i" * 31 + b"x")]), lambda head, at: kept.append(head.seq))
    trail.record(event())
    assert signing.wait(5)
    trail.close()
    whole = path.read_bytes()
    trail.close()
    verifier = verified(path)
    assert (verifier.problems, verifier.notes, set(kept)) == ([], [], {2})
    assert path.read_bytes() == whole


def test_events_of_many_threads_and_processes_are_all_there_once(path: Path) -> None:
    script = """
import sys, threading
from tests.audit.test_trail import SIGNER, event
from resolver.audit.trail import Trail
trail = Trail(sys.argv[1], SIGNER)
def work(n):
    for m in range(50):
        trail.record(event(request=f"{sys.argv[2]}-{n}-{m}"))
threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(n)], cwd=Path(__file__).parents[2])
        for n in range(4)
    ]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    seen = [line["request"] for line in events_in(path)]
    assert len(seen) == len(set(seen)) == 4 * 5 * 50
    verifier = verified(path)
    assert (verifier.problems, verifier.notes) == ([], [])
    assert sum(chain.events for chain in verifier.chains.values()) == 1000


def test_unread_pipe_delays_requests_no_longer_than_the_limit(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    trail = Trail(str(fifo), SIGNER)
    with pytest.raises(AuditUnavailable):
        record_for_ever(trail)
    waits: list[float] = []

    def one_more() -> None:
        started = time.monotonic()
        with pytest.raises(AuditUnavailable):
            trail.record(event())
        waits.append(time.monotonic() - started)

    threads = [threading.Thread(target=one_more) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 8
    assert max(waits) < 1.2
    kept = drained(reader)
    trail.record(event(request="after"))
    trail.close()
    kept += drained(reader)
    os.close(reader)
    whole = tmp_path / "whole"
    whole.write_bytes(kept)
    assert verified(whole).problems == []
    assert events_in(whole)[-1]["request"] == "after"


def record_for_ever(trail: Trail) -> None:
    while True:
        trail.record(event())


def drained(reader: int) -> bytes:
    kept = b""
    while True:
        try:
            read = os.read(reader, 65_536)
        except BlockingIOError:
            return kept
        if not read:
            return kept
        kept += read


def test_full_disk_is_reported_and_the_chain_continues_when_there_is_space(path: Path) -> None:
    full = Trail("/dev/full", SIGNER)
    with pytest.raises(AuditUnavailable):
        full.record(event())
    full.close()


def test_chain_continues_in_the_new_file_after_log_rotation(trail: Trail, path: Path) -> None:
    recorded: list[str] = []

    def record(request: str) -> None:
        recorded.append(request)
        trail.record(event(request=request))

    def is_there_again() -> bool:
        record(f"meanwhile-{len(recorded)}")
        return path.exists()

    record("before")
    record("just before")  # with this one it has looked at the file's name
    old = path.with_suffix(".1")
    path.rename(old)
    until(is_there_again, "a file under the old name", seconds=2)
    record("after")
    trail.close()
    assert [line["request"] for file in (old, path) for line in events_in(file)] == recorded
    assert events_in(old)[0]["request"] == "before"
    assert events_in(path)[-1]["request"] == "after"
    assert verified(old, path).problems == []


def test_line_cut_off_by_a_crash_damages_no_other(path: Path) -> None:
    first = Trail(str(path), SIGNER)
    first.record(event())
    first.close()
    with path.open("ab") as file:
        file.write(b'{"audit":1,"chain":"0123456789abcdef","seq":7,"at":"2026-01-01T0')
    second = Trail(str(path), SIGNER)
    second.record(event(request="second"))
    second.close()
    verifier = verified(path)
    assert verifier.problems == []
    assert [what.split(":")[0] for _, what in verifier.notes] == ["torn"]


@given(st.lists(st.text(max_size=700), max_size=40), st.text(max_size=600), st.text(max_size=600))
def test_text_cannot_end_a_line_or_forge_another(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], organization: str, user: str
) -> None:
    path = tmp_path_factory.mktemp("forged") / "audit.log"
    trail = Trail(str(path), SIGNER)
    trail.record(event(actor=Actor("user", user), organization=organization, ids=ids))
    trail.record(event(request="next"))
    trail.close()
    raw = path.read_bytes()
    assert raw.isascii()
    assert not set(raw) & (set(range(32)) - {10} | {127})
    assert all(len(line) < MAX_LINE_BYTES for line in raw.split(b"\n"))
    assert len(raw.decode().splitlines()) == raw.count(b"\n")
    assert verified(path).problems == []
    named = [id_ for line in events_in(path)[:-1] for id_ in line.get("ids", [])]
    assert len(named) == len(ids)


def test_a_forged_line_in_an_id_stays_in_the_id(trail: Trail, path: Path) -> None:
    forged = '"\r\n{"audit":1,"chain":"x","seq":0,"at":"now"}\u2028\u0085\x1b[2K'
    trail.record(event(ids=[forged]))
    (line,) = events_in(path)
    assert line["ids"] == [forged]


@pytest.mark.parametrize("ids", [0, 1, 30])
@pytest.mark.parametrize("wide", range(20, 41))
def test_all_ids_are_recorded_when_names_are_long(trail: Trail, path: Path, ids: int, wide: int) -> None:
    """Up to where nothing but their names would fit into a line."""
    names = [f"n-{n}" for n in range(ids)]
    wanted = {"scope": dict.fromkeys("abcdefgh", "😀" * wide)}
    trail.record(event(ids=names, more=wanted))
    assert [id_ for line in events_in(path) for id_ in line.get("ids", [])] == names
    assert events_in(path)


def test_long_event_is_split_into_parts_that_count_once(trail: Trail, path: Path) -> None:
    ids = [f"notification-{n:040d}" for n in range(1000)]
    trail.record(event(ids=ids, denied=["last"]))
    trail.close()
    lines = events_in(path)
    assert [line["part"] for line in lines] == [f"{n}/{len(lines)}" for n in range(1, len(lines) + 1)]
    assert [id_ for line in lines for id_ in line.get("ids", [])] == ids
    assert lines[-1]["denied"] == ["last"]
    verifier = verified(path)
    assert [chain.events for chain in verifier.chains.values()] == [1]


def lines_of(path: Path) -> list[JSON]:
    return list(map(json.loads, path.read_bytes().splitlines()))


NO_THREAD = [RuntimeError("can't start new thread"), MemoryError()]


def refuse_threads(monkeypatch: pytest.MonkeyPatch, error: Exception, but: str = "") -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name != but:
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("error", NO_THREAD)
def test_trail_refuses_events_at_once_while_its_thread_cannot_be_started(
    trail: Trail, path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse_threads(monkeypatch, error)
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(AuditUnavailable):
            trail.record(event())
    assert time.monotonic() - started < 0.5
    monkeypatch.undo()
    assert not path.exists()
    trail.record(event(request="later"))
    trail.close()
    assert [line["request"] for line in events_in(path)] == ["later"]
    assert verified(path).unsigned == []


@pytest.mark.parametrize("error", NO_THREAD)
def test_trail_signs_at_once_and_fails_no_event_when_no_thread_can_be_started_for_that(
    trail: Trail, path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse_threads(monkeypatch, error, but="audit-writer")
    for _ in range(3):
        trail.record(event())
        assert lines_of(path)[-1]["action"] == "anchor"
    monkeypatch.undo()
    trail.record(event(request="later"))
    until(lambda: lines_of(path)[-1]["action"] == "anchor", "an anchor by the thread")
    assert verified(path).unsigned == []


def test_checkpoints_continue_after_an_unexpected_failure(path: Path) -> None:
    """This holds also if the next one was requested at this moment."""
    told: list[int] = []

    def keep(head: Link, _at: str) -> None:
        if not told:
            told.append(0)
            own.record(event(request="meanwhile"))
            raise KeyError("unexpected")
        told.append(head.seq)

    own = Trail(str(path), SIGNER, keep)
    own.record(event())
    until(lambda: len(told) > 1, "Redis to be told", seconds=10)
    own.record(event(request="later"))
    until(lambda: lines_of(path)[-1]["action"] == "anchor", "an anchor by the thread")
    own.close()


def test_checkpoint_is_kept_in_redis_later_without_another_event(path: Path) -> None:
    told: list[int] = []
    failures = [StoreUnavailable("away"), StoreUnavailable("away")]

    def keep(head: Link, _at: str) -> None:
        if failures:
            raise failures.pop()
        told.append(head.seq)

    reasons: list[str] = []
    trail = Trail(str(path), SIGNER, keep, on_checkpoint_failure=reasons.append)
    trail.record(event())
    until(lambda: bool(told), "Redis to be told")
    assert reasons == ["away", "away"]
    assert told == [2]
    trail.close()


def test_lines_are_signed_within_a_second_even_when_the_thread_is_late(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dates of the lines decide, so that a changed clock has the effect of a late thread."""
    monkeypatch.setattr("resolver.audit.trail.CHECKPOINT_SECONDS", 60.0)
    trail = Trail(str(path), SIGNER)
    clock = itertools.count(1_700_000_000_000, 300)
    monkeypatch.setattr("resolver.clock.milliseconds", lambda: next(clock))
    for _ in range(20):
        trail.record(event())
    unsigned: list[float] = []
    for line in lines_of(path):
        at = datetime.fromisoformat(line["at"]).timestamp()
        unsigned = [] if line["action"] == "anchor" else [*unsigned, at]
        assert not unsigned or unsigned[-1] - unsigned[0] <= 2
    assert sum(line["action"] == "anchor" for line in lines_of(path)) > 3


def test_refusals_beyond_ten_a_second_are_counted_and_their_number_is_recorded(
    trail: Trail, path: Path
) -> None:
    refusal = event(actor=Actor("unknown", "192.0.2.1"))
    for _ in range(1000):
        trail.record_refusal(refusal)
    assert len(events_in(path)) <= 20
    until(lambda: without_a_line(path) + lines_about_strangers(path) == 1000, "the number on record")
    summary = events_in(path)[-1]
    assert (summary["who"], summary["action"]) == ({"kind": "system"}, "refusals")
    for _ in range(50):
        trail.record_refusal(refusal)
    trail.close()
    assert without_a_line(path) + lines_about_strangers(path) == 1050
    assert verified(path).unsigned == []


def without_a_line(path: Path) -> int:
    return sum(line.get("unrecorded", 0) for line in events_in(path))


def lines_about_strangers(path: Path) -> int:
    return sum(line["who"]["kind"] == "unknown" for line in events_in(path))


def test_refusals_that_are_counted_need_no_disk_and_their_number_waits_for_one(tmp_path: Path) -> None:
    """A full disk fails the requests that must be recorded; denied requests are still answered."""
    path = tmp_path / "missing" / "audit.log"
    trail = Trail(str(path), SIGNER)
    refusal = event(actor=Actor("unknown", "192.0.2.1"))
    for _ in range(MAX_PER_SECOND):
        with pytest.raises(AuditUnavailable):
            trail.record_refusal(refusal)
    for _ in range(100):
        trail.record_refusal(refusal)
    path.parent.mkdir()
    trail.close()
    assert without_a_line(path) == 100


def test_refusals_have_ten_lines_in_any_second() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    written: list[float] = []
    for step in range(500):
        now[0] = step / 100
        if refusals.admit() is not None:
            written.append(now[0])
    assert all(later - first >= 1 for first, later in zip(written, written[MAX_PER_SECOND:], strict=False))
    assert len(written) == 50
