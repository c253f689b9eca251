"""Requests of one thread that have asked for something, and let others begin until it is there.

Whoever waits for an answer keeps its thread from doing anything else, and another thread costs more to wake
than a read does. So a request is a greenlet: it asks, and steps aside. The next one begins, asks, and steps
aside, too. Then all go on, in the order of asking, when what they asked for has mostly arrived.

    begin(A) ── asks, steps aside
    begin(B) ── asks, steps aside
    go_on()  ── A reads its answer, and ends
    go_on()  ── B reads its own, and ends

Hazard: whoever stepped aside goes on only when its thread gets to it. So a thread lets all of them go on
before it waits for anybody else: `turn.pass_on()` does that, and so do sockets of clients (`client_socket`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

from greenlet import getcurrent, greenlet

_LONG = 0.05
WHILE: Final = 1.0


class _Request(greenlet):
    offers = False


class _ThisThread(threading.local):
    def __init__(self) -> None:
        self.aside: deque[greenlet] = deque()
        self.nobody_until = 0.0


_this_thread = _ThisThread()


def begin(serve: Callable[[], None]) -> None:
    """Until it has ended, or stepped aside."""
    _Request(serve).switch()


@contextmanager
def offered(is_all: bool) -> Iterator[None]:
    """`is_all`: the request waits for nobody else afterwards. Several that do would wait one after the other,
    and don't step aside."""
    request = getcurrent()
    if not isinstance(request, _Request) or not is_all:
        yield
        return
    request.offers = True
    try:
        yield
    finally:
        request.offers = False


def is_offered() -> bool:
    """Not for a while after going on took somebody long: whoever else stepped aside waited for that, too."""
    request = getcurrent()
    return isinstance(request, _Request) and request.offers and time.monotonic() >= _this_thread.nobody_until


def step() -> bool:
    """Whether it was offered: then others have begun meanwhile, and all who asked before have gone on."""
    if not is_offered():
        return False
    request = getcurrent()
    _this_thread.aside.append(request)
    cast(greenlet, request.parent).switch()
    return True


def number() -> int:
    """Of those who wait."""
    return len(_this_thread.aside)


def is_another_waiting() -> bool:
    """Whether this request only goes on because another one is about to wait."""
    return isinstance(getcurrent().parent, _Request)


def go_on() -> None:
    """Who asked first, until it has ended, or steps aside again."""
    request = _this_thread.aside.popleft()
    request.parent = getcurrent()  # who is to be returned to
    started = time.monotonic()
    request.switch()
    if (now := time.monotonic()) - started > _LONG:
        _this_thread.nobody_until = now + WHILE


def all_go_on() -> None:
    while number():
        go_on()
