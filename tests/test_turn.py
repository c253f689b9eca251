"""Whose turn it is, with real threads."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from resolver import turn as turns
from resolver.turn import Turn
from tests.system.load import until

THREADS = 4
Work = Callable[[], None]


class Loop:
    """Threads in line, who serve what they are given. One more looks after them, as long as it should."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.given: list[Work] = []
        self.served: list[bool] = []
        """Of each request, whether its thread kept the turn."""
        self.having = 0
        """How many threads have the turn, and the most there ever were."""
        self.most = 0
        self.looks = True
        self._closed = False

    def give(self, *work: Work) -> None:
        self.given.extend(work)

    def has_served(self, number: int) -> bool:
        return len(self.served) >= number

    def close(self) -> None:
        self._closed = True
        self.turn.close(THREADS)

    def serve(self) -> None:
        while self.turn.take():
            self.having += 1
            self.most = max(self.most, self.having)
            while not self._closed and self._next():
                pass

    def look(self) -> None:
        while self.looks and not self._closed:
            self.turn.look_after(0.1)

    def _next(self) -> bool:
        if not self.given:
            time.sleep(0.001)
            return True
        work = self.given.pop(0)
        self.having -= 1  # once it is begun, it may be another's
        request = self.turn.begin()
        work()
        has_it = self.turn.end(request)
        if has_it:
            self.having += 1
        self.served.append(has_it)
        return has_it


@contextmanager
def serving(*, looks: bool = True) -> Iterator[Loop]:
    loop = Loop()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        threads: list[Future[None]] = [pool.submit(loop.serve) for _ in range(THREADS)]
        if looks:
            threads.append(pool.submit(loop.look))
        try:
            yield loop
        finally:
            loop.close()
    for thread in threads:
        thread.result()


def at_once() -> None:
    """Something that waits for nobody."""


def passing_on_until(event: threading.Event) -> Work:
    def work() -> None:
        turns.pass_on()
        assert event.wait(10)

    return work


def test_one_thread_has_it_however_many_there_are() -> None:
    with serving() as loop:
        loop.give(*[at_once, lambda: time.sleep(0.01), turns.pass_on] * 30)
        until(lambda: loop.has_served(90), 10)
        assert loop.most == 1


def test_a_request_that_ended_in_time_keeps_it() -> None:
    with serving(looks=False) as loop:
        loop.give(*[at_once] * 20)
        until(lambda: loop.has_served(20), 10)
        assert loop.served == [True] * 20


def test_passing_it_on_lets_the_next_one_in() -> None:
    with serving(looks=False) as loop:
        answered = threading.Event()
        loop.give(passing_on_until(answered), at_once, at_once)
        until(lambda: loop.has_served(2), 10)
        answered.set()
        until(lambda: loop.has_served(3), 10)
        assert loop.served == [True, True, False]


def test_passing_it_on_again_changes_nothing() -> None:
    with serving(looks=False) as loop:
        answered = threading.Event()

        def work() -> None:
            for _ in range(10):
                turns.pass_on()
            assert answered.wait(10)
            turns.pass_on()

        loop.give(*[work] * (THREADS - 1), at_once)
        until(lambda: loop.has_served(1), 10)
        answered.set()
        until(lambda: loop.has_served(THREADS), 10)
        assert loop.most == 1


def test_one_that_keeps_it_for_long_loses_it() -> None:
    with serving() as loop:
        answered = threading.Event()
        loop.give(lambda: assert_happens(answered), at_once)
        until(lambda: loop.has_served(1), 2)
        answered.set()
        until(lambda: loop.has_served(2), 2)
        assert loop.served == [True, False]


def assert_happens(event: threading.Event) -> None:
    assert event.wait(10)


def test_without_anybody_who_looks_nobody_loses_it() -> None:
    with serving(looks=False) as loop:
        loop.give(lambda: time.sleep(0.2), at_once)
        until(lambda: loop.has_served(2), 2)
        assert loop.served == [True, True]


def test_more_that_wait_than_there_are_threads_and_then_the_next_one() -> None:
    with serving() as loop:
        answered = threading.Event()
        loop.give(*[passing_on_until(answered)] * THREADS, at_once)
        until(lambda: len(loop.given) == 1, 2)
        time.sleep(0.1)
        assert loop.served == []
        answered.set()
        until(lambda: loop.has_served(THREADS + 1), 2)
        assert loop.most == 1


def test_it_is_lost_in_time_after_a_long_sleep_too() -> None:
    with serving() as loop:
        for number in range(5):
            time.sleep(0.15)  # whoever looks after it sleeps by now
            answered = threading.Event()
            loop.give(lambda happened=answered: assert_happens(happened), at_once)  # type: ignore[misc]
            until(lambda n=number: loop.has_served(2 * n + 1), 2)  # type: ignore[misc]
            answered.set()
            until(lambda n=number: loop.has_served(2 * n + 2), 2)  # type: ignore[misc]
        assert loop.most == 1


def test_looking_after_nothing_is_sleep() -> None:
    turn = Turn()
    before = times_slept()
    started = time.monotonic()
    turn.look_after(1)
    assert time.monotonic() - started > 0.9
    assert times_slept() - before < 10


def times_slept() -> int:
    """Of this thread alone."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_looking_after_it_ends_by_being_woken() -> None:
    turn = Turn()
    timer = threading.Timer(0.1, turn.wake)
    timer.start()
    started = time.monotonic()
    turn.look_after(10)
    assert time.monotonic() - started < 2
    timer.join()


def test_waking_holds_up_nobody_however_often_it_is_done() -> None:
    turn = Turn()
    for _ in range(100_000):  # more than a pipe holds
        turn.wake()
    started = time.monotonic()
    turn.look_after(10)
    assert time.monotonic() - started < 2


def test_closing_lets_everybody_go() -> None:
    turn = Turn()
    with ThreadPoolExecutor(THREADS) as pool:
        has_it = pool.submit(turn.take)
        assert has_it.result(2)
        others = [pool.submit(turn.take) for _ in range(THREADS)]
        turn.close(THREADS)
        assert [each.result(2) for each in others] == [False] * THREADS


def test_passing_on_what_one_does_not_have_does_nothing() -> None:
    turns.pass_on()
    turn = Turn()
    assert turn.take()
    turns.pass_on()  # it has the turn, and serves nobody
    request = turn.begin()
    other = threading.Thread(target=turns.pass_on)
    other.start()
    other.join()
    assert turn.end(request)
    turns.pass_on()
    assert not turn.end(request), "it was ended"


class LostAtOnce(Turn):
    """Its thread is interrupted while it begins, and another one goes on."""

    lost = False

    def wake(self) -> None:
        if self.lost:
            super().wake()
            return
        self.lost = True
        self.lose(1)
        assert self.take()
        another = threading.Thread(target=self.begin)
        another.start()
        another.join()


def test_who_loses_it_while_it_begins_does_not_take_the_next_ones_for_its_own() -> None:
    turn = LostAtOnce()
    assert turn.take()
    looks = threading.Thread(target=turn.look_after, args=(1,))
    looks.start()
    time.sleep(0.2)  # it sleeps by now, so beginning wakes it
    request = turn.begin()
    looks.join()
    assert not turn.end(request)
    assert turn.end(2)


def test_requests_that_pass_it_on_and_lose_it_at_any_moment_are_each_served_once() -> None:
    done = []
    with serving() as loop:
        for number in range(200):

            def work(number: int = number) -> None:
                if number % 3 == 0:
                    turns.pass_on()
                if number % 5 == 0:
                    time.sleep(0.004 + number / 50_000)  # about as long as it takes to lose it
                done.append(number)

            loop.give(work)
        until(lambda: loop.has_served(200), 20)
        assert sorted(done) == list(range(200))
        assert loop.most == 1
