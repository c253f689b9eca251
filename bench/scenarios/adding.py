"""add: sealed, lined up and registered at Velt inline, or left to the worker; beside velt-py's save and
addNotifications. All of them register at the same Velt, one that answers at once.

What an add leaves for the worker beside the web is finished before the next side's turn, and its CPU is part
of what the add cost. A worker elsewhere works between the turns: its own CPU isn't
counted, Redis's is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import urllib3

from bench import people, same, sides, wrk
from bench.rounds import Run
from bench.stage import Stage
from resolver.cli.children import start_child, stop_child
from resolver.config import load
from resolver.wiring import build_stores
from tests.system.conftest import RESOLVER, plain_environment

JSON = dict[str, Any]
ADD = "add"
INLINE, DEFERRED, ELSEWHERE = "inline", "deferred", "deferred, worker elsewhere"
_LONGEST_SECONDS = 120
_SEEN_BY_ALL = "seen-by-all"
# velt-py's request has no such field; Velt takes it for granted.
_IMPLIED = frozenset({"notificationSource"})


def run(stage: Stage) -> None:
    if not stage.wanted(ADD):
        return
    with ExitStack() as stack:
        room = stage.room(ADD)
        velt = stack.enter_context(sides.instant_velt(room))
        runs: dict[str, Run] = {}
        urls: dict[str, str] = {}
        requests = wrk.write(room / "add.requests", people.adds())
        for name, registration in ((INLINE, "inline"), (DEFERRED, "deferred"), (ELSEWHERE, "deferred")):
            own = stage.room(f"{ADD} {name}")
            server = stack.enter_context(sides.redis(own / "redis"))
            changes = {"VELT_API_URL": velt, "RESOLVER_REGISTRATION": registration}
            if name != ELSEWHERE:
                changes["RESOLVER_WORKER"] = "embedded"
            side = stack.enter_context(sides.resolver(own, server, **changes))
            given = sides.variables(own, server) | changes
            urls[name] = side.url
            runs[name] = side.under(requests, _settling(own, given, with_worker=name == ELSEWHERE))
        if postgres := stack.enter_context(stage.postgres()):
            for peer, side in stack.enter_context(
                sides.velt_py(stage.room("add velt-py"), postgres, velt)
            ).items():
                urls[peer] = side.url
                runs[peer] = side.under(requests)
        _require_the_same(urls, velt)
        stage.compare(ADD, runs)


def _settling(room: Path, given: dict[str, str], *, with_worker: bool) -> Callable[[], None]:
    outbox = build_stores(load(given)).outbox

    def settle() -> None:
        until = time.monotonic() + _LONGEST_SECONDS
        while outbox.depth().waiting:
            if time.monotonic() > until:
                raise RuntimeError("the worker does not get to the end of its line")
            time.sleep(0.05)

    def settle_with_worker() -> None:
        with working(given, room / "worker.log"):
            settle()

    return settle_with_worker if with_worker else settle


@contextmanager
def working(given: dict[str, str], log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = start_child([*RESOLVER, "worker"], plain_environment(given), output, output)
    try:
        yield process.pid
    finally:
        stop_child(process)


def _require_the_same(urls: dict[str, str], velt: str) -> None:
    """One add by each: its content comes back from all, and Velt was told the same by all, without it."""
    (request,) = people.adds(_SEEN_BY_ALL)
    found, told = {}, {}
    for name, url in urls.items():
        if name == ELSEWHERE:
            continue  # nobody tells Velt yet
        before = seen(velt)["calls"]
        same.answer(url, request)
        told[name] = _told(velt, before)
        found[name] = same.answer(url, people.read_by_id(_SEEN_BY_ALL))["data"]
    same.require_same([_SEEN_BY_ALL], found)
    first, *_ = told
    for name, structure in told.items():
        if structure != told[first]:
            raise same.NotTheSame(f"{name} told Velt {structure}, {first} {told[first]}")


def _told(velt: str, before: int) -> JSON:
    until = time.monotonic() + 10
    while (found := seen(velt))["calls"] == before:
        if time.monotonic() > until:
            raise same.NotTheSame("Velt was not told")
        time.sleep(0.02)
    structure: JSON = found["last"]["data"]
    return {name: value for name, value in structure.items() if name not in _IMPLIED}


def seen(velt: str) -> JSON:
    found: JSON = urllib3.request("GET", f"{velt}/seen", retries=False, timeout=10).json()
    return found
