"""Cold start: from the start of the process to its first answer."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from pathlib import Path

from bench import sides
from bench.sides import EMPTY, OURS, VELT_PY
from bench.stage import Stage
from tests.system.conftest import RESOLVER, free_port

START = "cold start"


def run(stage: Stage) -> None:
    if not stage.wanted(START):
        return
    room = stage.room(START)
    with ExitStack() as stack:
        server = stack.enter_context(sides.redis(room / "redis"))
        given = {OURS: sides.variables(room, server) | {"WEB_CONCURRENCY": "1"}, EMPTY: {}}
        if postgres := stack.enter_context(stage.postgres()):
            given[VELT_PY] = sides.velt_py_variables(postgres)
        seconds: dict[str, list[float]] = {name: [] for name in given}
        for _ in range(stage.rounds):
            for name, variables in given.items():
                seconds[name].append(_once(name, variables, room / "log"))
    stage.figures[START] = {name: statistics.median(found) for name, found in seconds.items()}


def _once(name: str, variables: dict[str, str], log: Path) -> float:
    bind = f"127.0.0.1:{free_port()}"
    if name == OURS:
        return sides.seconds_to_start([*RESOLVER, "serve"], {**variables, "RESOLVER_BIND": bind}, bind, log)
    app = sides.EMPTY_APP if name == EMPTY else sides.VELT_PY_APP
    command = sides.gunicorn_command(app, bind, *sides.WORKERS["gthread"])
    return sides.seconds_to_start(command, variables, bind, log)
