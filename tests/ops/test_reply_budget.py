"""The byte budget for replies that are being built or sent."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from resolver.errors import Overloaded
from resolver.ops.reply_budget import SMALL_REPLY, ReplyBudget, Reservation

MIB = 1024 * 1024
PIECE = 100 * 33 * 1024
"""A hundred records of 32 KiB, sealed."""


@pytest.fixture
def budget() -> ReplyBudget:
    return ReplyBudget()


def read(budget: ReplyBudget, person: str, *pieces: int) -> Reservation:
    reservation = Reservation(budget)
    admit = reservation.admit_for(person)
    for size in pieces:
        admit(size)
    return reservation


def held(budget: ReplyBudget) -> tuple[int, int]:
    return budget.small.held, budget.large.held


def as_many_as_fit(one_more: Callable[[int], Reservation]) -> int:
    for n in range(1000):
        try:
            one_more(n)
        except Overloaded:
            return n
    raise AssertionError("there is no limit")


def test_small_reply_is_held_in_the_small_pool_until_it_is_released(budget: ReplyBudget) -> None:
    reservation = read(budget, "ben", 1000, 500)
    assert (held(budget), reservation.size) == ((1500, 0), 1500)
    reservation.release()
    reservation.release()
    assert (held(budget), reservation.size) == ((0, 0), 0)


def test_reply_that_grows_large_moves_to_the_large_pool(budget: ReplyBudget) -> None:
    reservation = read(budget, "ben", SMALL_REPLY)
    assert held(budget) == (SMALL_REPLY, 0)
    reservation.admit_for("ben")(1)
    assert held(budget) == (0, SMALL_REPLY + 1)
    reservation.release()
    assert held(budget) == (0, 0)


def test_largest_question_is_admitted_alone_and_not_twice_to_one_person(budget: ReplyBudget) -> None:
    first = read(budget, "ben", *[PIECE] * 10)
    with pytest.raises(Overloaded):
        read(budget, "ben", *[PIECE] * 10)
    first.release()
    assert read(budget, "ben", *[PIECE] * 10).size == 10 * PIECE


def test_large_replies_of_many_people_leave_room_for_small_ones(budget: ReplyBudget) -> None:
    large = as_many_as_fit(lambda n: read(budget, f"greedy-{n}", 8 * MIB))
    assert large == 8
    assert as_many_as_fit(lambda n: read(budget, f"other-{n}", SMALL_REPLY)) >= 64


def test_small_replies_of_one_person_leave_room_for_those_of_others(budget: ReplyBudget) -> None:
    assert as_many_as_fit(lambda _: read(budget, "greedy", SMALL_REPLY)) < 200
    assert read(budget, "ben", SMALL_REPLY).size == SMALL_REPLY


def test_refused_reply_holds_what_it_had_until_it_is_released(budget: ReplyBudget) -> None:
    others = [read(budget, f"greedy-{n}", 31 * MIB) for n in range(2)]
    reservation = Reservation(budget)
    admit = reservation.admit_for("ben")
    admit(MIB)
    with pytest.raises(Overloaded):
        admit(2 * MIB)
    assert held(budget) == (0, 63 * MIB)
    for one in (reservation, *others):
        one.release()
    assert held(budget) == (0, 0)


def test_reply_that_holds_less_than_was_read_shrinks(budget: ReplyBudget) -> None:
    reservation = read(budget, "ben", MIB)
    reservation.shrink(1000)
    assert held(budget) == (0, 1000)
    reservation.shrink(5000)
    assert held(budget) == (0, 1000)


def test_nothing_is_lost_or_counted_twice_when_many_threads_use_it(budget: ReplyBudget) -> None:
    def use() -> None:
        for size in range(1, 2000):
            read(budget, "ben", size % 500, SMALL_REPLY * (size % 2)).release()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(budget) == (0, 0)
