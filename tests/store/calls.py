"""Calls from many threads at once, and their outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def at_once(calls: int, call: Callable[[int], Any]) -> list[Future[Any]]:
    """Run all calls at once, each in a thread."""
    together = threading.Barrier(calls)

    def run(number: int) -> Any:
        together.wait()
        return call(number)

    with ThreadPoolExecutor(calls) as pool:
        return [pool.submit(run, number) for number in range(calls)]


def results(futures: list[Future[Any]]) -> list[Any]:
    return [future.result() for future in futures]


def errors(futures: list[Future[Any]]) -> list[type[BaseException]]:
    return [type(error) for future in futures if (error := future.exception())]
