"""The benchmark's instruments measure what happened. These tests judge no figure."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bench import bar, lines, plot, report, same, soak, wrk
from bench.people import notification_id, reader, reads
from bench.processes import cpu_seconds, memory_bytes, tree

BURNT_SECONDS = 0.2
BURNS = f"""
import sys, time
while time.process_time() < {BURNT_SECONDS}:
    pass
print("burnt", flush=True)
sys.stdin.readline()
"""
HAS_A_CHILD_THAT_BURNS = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
sys.stdin.readline()
child.communicate()
print("ended", flush=True)
sys.stdin.readline()
"""
ITEM = {"notificationId": "n-1", "displayBodyMessage": "Friday?"}
SAMPLE = {
    "per_second": 1000.0,
    "p50_ms": 4.0,
    "p99_ms": 9.0,
    "application_us": 400.0,
    "store_us": 0.0,
    "application_mb": 60.0,
    "store_mb": 10.0,
}


def result(**ours: float) -> dict[str, Any]:
    sides = {"resolver": [{**SAMPLE, **ours}] * 3, "empty view": [SAMPLE] * 3}
    left_out = {"velt-py": "postgres is not installed"}
    found = {"scenarios": [{"name": "get 20", "sides": sides}], "figures": {}, "left_out": left_out}
    return {**found, "bar": bar.judged(found)}


def verdict(found: dict[str, Any], what: str) -> dict[str, Any]:
    (line,) = [line for line in found["bar"] if line["what"] == what]
    return dict(line)


def test_the_cpu_of_children_counts_while_they_run_and_when_they_have_ended() -> None:
    command = [sys.executable, "-c", HAS_A_CHILD_THAT_BURNS, BURNS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin
        assert parent.stdout
        assert parent.stdout.readline() == "burnt\n"
        assert len(tree([parent.pid])) == 2
        running = cpu_seconds([parent.pid])
        assert running >= BURNT_SECONDS
        assert memory_bytes([parent.pid]) > 0
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "ended\n"
        assert len(tree([parent.pid])) == 1
        assert cpu_seconds([parent.pid]) >= running
        # The process ends when its input does.


def test_a_process_that_is_gone_costs_nothing() -> None:
    assert cpu_seconds([2**30]) == 0
    assert memory_bytes([2**30]) == 0


def test_what_wrk_counted_is_read_from_among_what_it_prints() -> None:
    counted = '{"requests":3000,"microseconds":1500000,"p50":2500,"p99":9000,"refused":0,"broken":0}'
    assert wrk.parse(f"Running 1s test\n{counted}\nRequests/sec: 2000\n") == wrk.Load(3000, 1.5, 2.5, 9.0)


@pytest.mark.parametrize("wrong", ['"refused":1,"broken":0', '"refused":0,"broken":1'])
def test_a_load_that_was_not_answered_with_success_is_none(wrong: str) -> None:
    with pytest.raises(wrk.LoadFailed):
        wrk.parse(f'{{"requests":3000,"microseconds":1500000,"p50":2500,"p99":9000,{wrong}}}')


def test_every_id_that_a_reader_asks_for_is_theirs() -> None:
    for request in list(reads(20, 1000))[:50]:
        ids = request.body["notificationIds"]
        assert len(set(ids)) == 20
        assert {reader(int(id_.removeprefix("ntf_"))) for id_ in ids} == {reader(int(ids[0][4:]))}
    assert notification_id(7) == "ntf_00000000000000000007"


def test_the_same_content_is_the_same_whatever_else_velt_py_echoes() -> None:
    same.require_same(["n-1"], {"ours": {"n-1": ITEM}, "theirs": {"n-1": {**ITEM, "organizationId": "a"}}})


@pytest.mark.parametrize(
    "theirs",
    [
        {},
        {"n-1": {**ITEM, "displayBodyMessage": "Monday?"}},
        {"n-1": {"notificationId": "n-1"}},
        {"n-1": ITEM, "n-2": ITEM},
    ],
    ids=["absent", "other", "less", "more"],
)
def test_a_difference_ends_the_comparison(theirs: dict[str, Any]) -> None:
    with pytest.raises(same.NotTheSame):
        same.require_same(["n-1"], {"ours": {"n-1": ITEM}, "theirs": theirs})


def test_the_bar_is_judged_by_what_was_measured_and_by_nothing_else() -> None:
    cpu, unmeasured = "get 20: CPU by the empty view's", "get 20: CPU by velt-py's"
    assert verdict(result(store_us=200.0), cpu)["met"] is True
    assert verdict(result(store_us=400.0), cpu)["met"] is False
    assert verdict(result(), unmeasured) == {
        "what": unmeasured,
        "limit": "≤ 0.25",
        "measured": None,
        "met": False,
    }


def test_a_peer_counts_under_the_worker_class_that_is_better_for_it() -> None:
    found = result(store_us=200.0)
    (scenario,) = [entry for entry in found["scenarios"] if entry["name"] == "get 20"]
    empty, *_ = scenario["sides"]["empty view"]
    del scenario["sides"]["empty view"]
    worse = {**empty, "application_us": empty["application_us"] * 2, "per_second": empty["per_second"] / 2}
    scenario["sides"] |= {"empty view, gthread": [worse], "empty view, gevent": [empty]}
    assert verdict(found, "get 20: CPU by the empty view's")["measured"] == pytest.approx(1.5)
    assert verdict(found, "get 20: requests/s by the empty view's")["measured"] == pytest.approx(1.0)


def test_tables_and_plot_say_what_was_left_out_and_what_was_measured() -> None:
    found = result(store_us=200.0)
    text = "\n".join(" ".join(row) for grid in report.grids(found) for row in grid.rows)
    assert "velt-py postgres is not installed" in text
    assert "get 20 resolver empty view 1.50 (1.50 to 1.50) 1.00" in text
    assert ">600</text>" in plot.svg(found)


def soak_samples(memory: Callable[[int], float]) -> list[soak.Sample]:
    noise = random.Random(1)
    return [
        soak.Sample(n, "", memory(n) + noise.uniform(-2, 2), 100, 10, 0, 5.0, 9.0, 4.0, 900.0, 9_000, 0)
        for n in range(60)
    ]


def test_soak_finds_growth_and_no_growth_in_noise() -> None:
    growing = soak.slope_of("memory_mb", soak_samples(lambda n: 100 + n))
    flat = soak.slope_of("memory_mb", soak_samples(lambda _: 100))
    assert growing.is_growing
    assert 0.4 < growing.growth < 0.5, "59 MB of a median of 129.5"
    assert not flat.is_growing


def test_soak_draws_a_panel_for_each_figure() -> None:
    drawn = lines.svg({"memory": [(0, 1.0), (1, 2.0)], "files": [(0, 5.0), (1, 5.0)]}, "minutes")
    assert drawn.count("<polyline") == 2
    assert "0 to 1 minutes" in drawn
