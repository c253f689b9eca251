"""The breaker: opens at the first failure, lets one probe an interval through, honours Retry-After."""

from __future__ import annotations

import time

from resolver.outbound.breaker import FIRST_SECONDS, Breaker


def test_closed_everybody_may_ask() -> None:
    breaker = Breaker("velt")
    assert all(breaker.may_ask() for _ in range(100))
    assert breaker.wait_seconds() == 0


def test_open_one_may_once_the_interval_is_over() -> None:
    breaker = Breaker("velt")
    breaker.failed()
    assert not breaker.may_ask()
    time.sleep(FIRST_SECONDS)
    assert [breaker.may_ask() for _ in range(5)] == [True, False, False, False, False]


def test_the_first_success_closes_it() -> None:
    breaker = Breaker("velt")
    breaker.failed()
    breaker.succeeded()
    assert breaker.may_ask()
    assert not breaker.wait_seconds()


def test_looking_takes_no_probe() -> None:
    breaker = Breaker("velt")
    breaker.failed()
    time.sleep(FIRST_SECONDS)
    assert breaker.wait_seconds() == breaker.wait_seconds() == 0
    assert breaker.may_ask()


def test_after_a_success_the_interval_begins_anew() -> None:
    breaker = Breaker("velt")
    for _ in range(4):
        breaker.failed()
        time.sleep(breaker.wait_seconds())
        breaker.may_ask()
    breaker.succeeded()
    breaker.failed()
    assert breaker.wait_seconds() <= FIRST_SECONDS


def test_many_failures_that_were_under_way_count_as_one() -> None:
    breaker = Breaker("velt")
    for _ in range(50):
        breaker.failed()
    assert breaker.wait_seconds() <= FIRST_SECONDS


def test_retry_after_is_a_floor_within_reason() -> None:
    breaker = Breaker("velt")
    breaker.failed(retry_after=3)
    assert 2.9 < breaker.wait_seconds() <= 3
    breaker.succeeded()  # of something that was under way
    assert not breaker.may_ask()
    breaker.failed(retry_after=10**9)
    assert breaker.wait_seconds() <= 300
