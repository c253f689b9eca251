"""Stepping aside: who goes on when, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

import pytest

from resolver import aside, turn

NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


class Story:
    """What happened, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def asks(self, name: str, times: int = 1) -> Callable[[], None]:
        def serve() -> None:
            for _ in range(times):
                self.told.append(f"{name} asks")
                with aside.offered(True):
                    aside.step()
            self.told.append(f"{name} ends")

        return serve

    def waits(self, name: str) -> Callable[[], None]:
        def serve() -> None:
            turn.pass_on()
            self.told.append(f"{name} waits")

        return serve


@pytest.fixture
def story() -> Iterator[Story]:
    yield Story()
    assert not aside.number()


def test_all_ask_before_the_first_goes_on_and_go_on_in_the_order_of_asking(story: Story) -> None:
    for name in "ABC":
        aside.begin(story.asks(name))
    assert story.told == ["A asks", "B asks", "C asks"]
    aside.all_go_on()
    assert story.told[3:] == ["A ends", "B ends", "C ends"]


def test_whom_it_was_not_offered_to_ends_at_once(story: Story) -> None:
    def serve() -> None:
        assert not aside.step()
        with aside.offered(True):
            pass
        assert not aside.step()
        story.told.append("ended")

    aside.begin(serve)
    assert story.told == ["ended"]


def test_where_nobody_begins_requests_nobody_steps_aside(story: Story) -> None:
    story.asks("A")()
    assert story.told == ["A asks", "A ends"]


def test_who_is_about_to_wait_lets_all_go_on_before(story: Story) -> None:
    for serve in (story.asks("A"), story.asks("B"), story.waits("C")):
        aside.begin(serve)
    assert story.told == ["A asks", "B asks", "A ends", "B ends", "C waits"]


def test_who_goes_on_may_ask_again_and_is_behind_the_others_then(story: Story) -> None:
    for serve in (story.asks("A", times=2), story.asks("B")):
        aside.begin(serve)
    aside.all_go_on()
    assert story.told == ["A asks", "B asks", "A asks", "B ends", "A ends"]


def test_who_goes_on_while_another_is_about_to_wait_may_ask_again(story: Story) -> None:
    for serve in (story.asks("A", times=3), story.asks("B", times=2), story.waits("C")):
        aside.begin(serve)
    assert story.told[-1] == "C waits"
    assert sorted(story.told[-4:-1]) == ["A asks", "A ends", "B ends"]


def test_two_that_are_about_to_wait_after_they_have_gone_on(story: Story) -> None:
    def asks_then_waits(name: str) -> None:
        story.asks(name)()
        story.waits(name)()

    for name in "ABC":
        aside.begin(partial(asks_then_waits, name))
    aside.all_go_on()
    assert [what for what in story.told if what.endswith("waits")] == ["C waits", "B waits", "A waits"]


def test_each_has_its_own_context(story: Story) -> None:
    def serve(name: str) -> None:
        assert NAME.get() == "nobody"
        NAME.set(name)
        story.asks(name)()
        story.told.append(NAME.get())

    for name in "AB":
        aside.begin(partial(serve, name))
    aside.all_go_on()
    assert story.told == ["A asks", "B asks", "A ends", "A", "B ends", "B"]
    assert NAME.get() == "nobody"
