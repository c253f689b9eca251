"""Load on a resolver, and what must be true of it afterwards."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Self

import orjson
import urllib3

from tests.support import BACKEND, JSON, Velt, notification
from tests.waiting import until

HEADERS = {"content-type": "application/json", **BACKEND}
REFUSED_PAUSE_SECONDS = 0.02
"""A client that was refused waits so long before its next request, as a real one would."""


def post(url: str, path: str, body: Any, seconds: float = 10) -> tuple[int, JSON, float]:
    """Return status, JSON and duration. Status 0 means that the connection broke."""
    started = time.monotonic()
    try:
        reply = urllib3.request(
            "POST", url + path, body=orjson.dumps(body), headers=HEADERS, retries=False, timeout=seconds
        )
        answer: tuple[int, JSON] = (reply.status, reply.json())
    except (urllib3.exceptions.HTTPError, orjson.JSONDecodeError, ValueError):
        answer = (0, {})
    return *answer, time.monotonic() - started


def add(url: str, id_: str) -> tuple[int, JSON, float]:
    return post(url, "/v2/notifications/add", {"data": notification(notificationId=id_)})


def read(url: str, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), 1000):
        body = {"organizationId": "acme", "notificationIds": ids[start : start + 1000]}
        status, answer, _ = post(url, "/api/velt/notifications/get", body)
        assert status == 200, answer
        found |= answer["data"].keys()
    return found


@dataclass
class Load(ABC):
    """Work in threads, which ends with the `with` block."""

    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _ids: Iterator[int] = field(default_factory=count, init=False)

    @abstractmethod
    def work(self) -> Sequence[Callable[[], None]]:
        """Return the functions to run, each in a thread."""

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=each) for each in self.work()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@dataclass
class Adding(Load):
    """Clients that add until the block ends, and what was acknowledged to them."""

    url: str
    clients: int = 4
    acknowledged: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0

    def work(self) -> Sequence[Callable[[], None]]:
        return [partial(self._run, number) for number in range(self.clients)]

    def wait_for_acknowledged(self, number: int) -> None:
        """Wait until so many more adds have been acknowledged."""
        wanted = len(self.acknowledged) + number
        until(lambda: len(self.acknowledged) >= wanted, f"{number} acknowledged adds")

    def _run(self, client: int) -> None:
        while not self._stop.is_set():
            id_ = f"c{client}-{next(self._ids)}"
            status, _, seconds = add(self.url, id_)
            self.statuses.append(status)
            self.slowest = max(self.slowest, seconds)
            if status == 200:
                self.acknowledged.append(id_)
            else:
                self._stop.wait(REFUSED_PAUSE_SECONDS)


def assert_nothing_is_lost(url: str, velt: Velt, acknowledged: list[str]) -> None:
    """Every acknowledged id is readable, known to Velt, and once in the recipient's inbox."""
    assert acknowledged
    assert read(url, acknowledged) == set(acknowledged)
    inbox = [item["id"] for item in velt.inbox("ben")]
    assert len(inbox) == len(set(inbox))
    assert set(acknowledged) <= set(inbox)
    assert set(acknowledged) <= {sent["notificationId"] for sent in velt.sent("/v2/notifications/add")}
