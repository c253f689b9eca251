"""The circuit breaker opens after failures in a row, permits one probe an interval, honours Retry-After."""

from __future__ import annotations

from resolver.circuit_breaker import FIRST_SECONDS, RECENT_SECONDS, CircuitBreaker
from tests.clocks import Clock


def test_closed_circuit_breaker_permits_every_call() -> None:
    breaker = CircuitBreaker("velt")
    assert all(breaker.allow() for _ in range(100))
    assert breaker.wait_seconds() == 0


def test_half_open_circuit_breaker_permits_one_probe() -> None:
    clock = Clock()
    breaker = CircuitBreaker("velt", clock=clock)
    breaker.failure()
    assert not breaker.allow()
    clock.now += FIRST_SECONDS
    assert [breaker.allow() for _ in range(5)] == [True, False, False, False, False]


def test_a_success_closes_the_circuit_breaker() -> None:
    breaker = CircuitBreaker("velt")
    breaker.failure()
    breaker.success()
    assert breaker.allow()
    assert not breaker.wait_seconds()


def test_circuit_breaker_wait_seconds_takes_no_probe() -> None:
    clock = Clock()
    breaker = CircuitBreaker("velt", clock=clock)
    breaker.failure()
    clock.now += FIRST_SECONDS
    assert breaker.wait_seconds() == breaker.wait_seconds() == 0
    assert breaker.allow()


def test_circuit_breaker_starts_with_the_first_interval_after_a_success() -> None:
    clock = Clock()
    breaker = CircuitBreaker("velt", clock=clock)
    for _ in range(4):
        breaker.failure()
        clock.now += breaker.wait_seconds()
        breaker.allow()
    breaker.success()
    breaker.failure()
    assert breaker.wait_seconds() <= FIRST_SECONDS


def test_concurrent_failures_count_once() -> None:
    breaker = CircuitBreaker("velt")
    for _ in range(50):
        breaker.failure()
    assert breaker.wait_seconds() <= FIRST_SECONDS


def test_failures_with_one_cause_count_once() -> None:
    breaker, lost = CircuitBreaker("redis", opens_after=2), ConnectionError("lost")
    for _ in range(50):
        breaker.failure(cause=lost)
    assert breaker.allow()
    breaker.failure(cause=ConnectionError("lost"))
    assert not breaker.allow()


def test_circuit_breaker_permits_no_call_before_retry_after() -> None:
    breaker = CircuitBreaker("velt")
    breaker.failure(retry_after=3)
    assert 2.9 < breaker.wait_seconds() <= 3
    breaker.success()  # of something that was under way
    assert not breaker.allow()
    breaker.failure(retry_after=10**9)
    assert breaker.wait_seconds() <= 300


def test_circuit_breaker_opens_after_three_failures_in_a_row() -> None:
    breaker = CircuitBreaker("redis", opens_after=3)
    for _ in range(2):
        breaker.failure()
        assert breaker.allow()
    breaker.success()
    for _ in range(3):
        assert breaker.allow()
        breaker.failure()
    assert not breaker.allow()


def test_circuit_breaker_interval_has_a_longest() -> None:
    clock = Clock()
    breaker = CircuitBreaker("redis", longest_seconds=FIRST_SECONDS, clock=clock)
    for _ in range(3):
        breaker.failure()
        clock.now += breaker.wait_seconds()
        assert breaker.allow()
    breaker.failure()
    assert breaker.wait_seconds() <= FIRST_SECONDS


def test_circuit_breaker_has_just_succeeded_until_a_failure() -> None:
    breaker = CircuitBreaker("velt")
    assert not breaker.has_just_succeeded()
    breaker.success()
    assert breaker.has_just_succeeded()
    breaker.failure()
    assert not breaker.has_just_succeeded()
    assert breaker.succeeded_within(1)


def test_circuit_breaker_distinguishes_a_single_failed_call_from_consecutive_ones() -> None:
    breaker = CircuitBreaker("velt")
    breaker.success()
    assert breaker.note_failed_call() == RECENT_SECONDS
    assert breaker.note_failed_call() < RECENT_SECONDS
    breaker.success()
    assert breaker.note_failed_call() == RECENT_SECONDS
    assert breaker.allow()
