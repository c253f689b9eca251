"""The sides of a comparison, running: each is one process behind the same gunicorn."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from bench import wrk
from bench.postgres import LocalPostgres
from bench.processes import cpu_seconds
from bench.rounds import Run, Sample, measured
from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from tests.support import environment
from tests.system.conftest import free_port, plain_environment, serving, wait_until_ready

OURS, EMPTY, VELT_PY, REDIS_ALONE = "resolver", "empty view", "velt-py", "redis alone"
EMPTY_APP, VELT_PY_APP = "bench.apps.empty:app", "bench.apps.on_velt_py:create_app()"
NOWHERE = "http://127.0.0.1:9"
"""For who tells Velt nothing: no benchmark may reach the real one."""
WORKERS = {
    "gthread": ("--worker-class", "gthread", "--threads", "8"),
    "gevent": ("--worker-class", "gevent"),
}
"""gunicorn's own worker classes. A peer is measured under each, and the better one counts."""
# As docs/operations.md asks for it, and as PostgreSQL does by itself: a commit is on the disk.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
_LOOK_SECONDS = 0.5
_IDLE_CPU_SECONDS = 0.05
"""Less than that in between: the application has nothing left to do."""


@dataclass(frozen=True)
class Side:
    url: str
    application: tuple[int, ...]
    store: tuple[int, ...] = ()

    def settled_under(self, requests: Path) -> Run:
        """The same, until the application has nothing left to do."""
        return self.under(requests, self._settle)

    def _settle(self) -> None:
        seen, now = -1.0, cpu_seconds(self.application)
        while now - seen > _IDLE_CPU_SECONDS:
            time.sleep(_LOOK_SECONDS)
            seen, now = now, cpu_seconds(self.application)

    def under(self, requests: Path, settle: Callable[[], None] = lambda: None) -> Run:
        """`settle`: what is left to do afterwards belongs to what the requests cost."""

        def run(seconds: float) -> Sample:
            def work() -> wrk.Load:
                load = wrk.send(self.url, requests, seconds)
                settle()
                return load

            return measured(self.application, self.store, work)

        return run


@contextmanager
def redis(folder: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(folder, DURABLE)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def postgres() -> Iterator[LocalPostgres]:
    server = LocalPostgres()
    try:
        yield server
    finally:
        server.stop()


def variables(folder: Path, server: LocalRedis, **changes: str) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    audit = str(folder / "audit.log")
    given = environment(REDIS_URL=server.url, RESOLVER_AUDIT_LOG=audit, VELT_API_URL=NOWHERE)
    return {**given, "RESOLVER_WORKER": "separate", **changes}


@contextmanager
def resolver(folder: Path, server: LocalRedis, **changes: str) -> Iterator[Side]:
    """As deployed: `resolver serve`."""
    with serving(variables(folder, server) | changes, folder / "log") as served:
        yield Side(served.url, (served.process.pid,), (server.pid,))


def under(peer: str, worker: str) -> str:
    return f"{peer}, {worker}"


def peers(peer: str) -> list[str]:
    """The sides that a peer is measured as."""
    return [under(peer, worker) for worker in WORKERS]


@contextmanager
def empty(folder: Path) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        yield {
            under(EMPTY, worker): Side(url, (pid,))
            for worker, settings in WORKERS.items()
            for url, pid in [stack.enter_context(_gunicorn(EMPTY_APP, {}, folder / worker, *settings))]
        }


@contextmanager
def velt_py(folder: Path, server: LocalPostgres, velt_url: str = NOWHERE) -> Iterator[dict[str, Side]]:
    given = velt_py_variables(server, velt_url)
    with ExitStack() as stack:
        yield {
            under(VELT_PY, worker): Side(url, (pid,), (server.pid,))
            for worker, settings in WORKERS.items()
            for url, pid in [stack.enter_context(_gunicorn(VELT_PY_APP, given, folder / worker, *settings))]
        }


def velt_py_variables(server: LocalPostgres, velt_url: str = NOWHERE) -> dict[str, str]:
    return environment(POSTGRES_DSN=server.dsn, VELT_API_URL=velt_url)


@contextmanager
def instant_velt(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _child([sys.executable, "-m", "bench.instant_velt", str(port)], {}, folder / "velt.log") as process:
        wait_until_ready(f"{url}/readyz", process, folder / "velt.log")
        yield url


def seconds_to_start(command: list[str], given: Mapping[str, str], bind: str, log: Path) -> float:
    """From the start of the process to the first answer."""
    began = time.monotonic()
    with _child(command, given, log) as process:
        while process.poll() is None:
            try:
                if urllib3.request("GET", f"http://{bind}/readyz", retries=False, timeout=2).status == 200:
                    return time.monotonic() - began
            except urllib3.exceptions.HTTPError:
                time.sleep(0.01)
    raise RuntimeError(log.read_text(encoding="utf-8"))


def gunicorn_command(app: str, bind: str, *settings: str) -> list[str]:
    ours = ("-c", "python:resolver.ops.gunicorn_settings", "--workers", "1", "--bind", bind)
    return [sys.executable, "-m", "gunicorn", *ours, *settings, app]


@contextmanager
def _gunicorn(app: str, given: Mapping[str, str], folder: Path, *settings: str) -> Iterator[tuple[str, int]]:
    folder.mkdir(parents=True, exist_ok=True)
    bind, log = f"127.0.0.1:{free_port()}", folder / "log"
    with _child(gunicorn_command(app, bind, *settings), given, log) as process:
        wait_until_ready(f"http://{bind}/readyz", process, log)
        yield f"http://{bind}", process.pid


@contextmanager
def _child(command: list[str], given: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = start_child(command, env=plain_environment(given), stdout=output, stderr=output)
    try:
        yield process
    finally:
        stop_child(process)
