"""The worker beside the web processes: how long its supervisor waits before it starts it again."""

from __future__ import annotations

from resolver.cli.embedded_worker import LONGEST_PAUSE_SECONDS, RestartPauses


def test_restart_pauses_double_up_to_half_a_minute() -> None:
    pauses = RestartPauses()
    assert [pauses.after(0.2) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, LONGEST_PAUSE_SECONDS]


def test_restart_pauses_begin_anew_after_a_long_life() -> None:
    pauses = RestartPauses()
    assert [pauses.after(1) for _ in range(3)] == [0.5, 1, 2]
    assert [pauses.after(3600), pauses.after(1)] == [0.5, 1]
