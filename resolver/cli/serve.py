"""`resolver serve`: gunicorn, as in production, with a worker beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

import click

from resolver import logs
from resolver.cli.children import start_child
from resolver.cli.embedded_worker import EmbeddedWorker
from resolver.cli.terminal import say
from resolver.cli.words import counted
from resolver.metrics import folder
from resolver.settings import load

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.5


@click.command()
@click.option("--bind", help="host:port or unix:/path; wins over RESOLVER_BIND.")
@click.option("--workers", type=click.IntRange(1), help="Web processes; wins over WEB_CONCURRENCY.")
def serve(bind: str | None, workers: int | None) -> None:
    """Serve in production. Settings come from the environment; `resolver check` judges them."""
    settings = load()
    address, count = bind or settings.bind, workers or settings.web_concurrency
    command = gunicorn_command(address, count)
    embedded = settings.worker == "embedded"
    with_worker = " and a worker" if embedded else ""
    processes = counted(count, "process", "processes")
    say(f"Serving on {address} with {processes}{with_worker}", err=True)
    if not embedded:
        sys.stderr.flush()
        # In place of this process, so that a supervisor's signals reach gunicorn itself.
        os.execv(command[0], command)  # noqa: S606
    logs.configure(settings.log_level, settings.log_format)
    if reason := folder.provide():
        say(f"metrics_not_shared: {reason}", err=True)
    try:
        raise SystemExit(_supervise(command))
    finally:
        folder.withdraw()


def gunicorn_command(bind: str, workers: int) -> list[str]:
    return [
        sys.executable,
        *("-m", "gunicorn", "-c", "python:resolver.serving"),
        *("--bind", bind, "--workers", str(workers)),
        "resolver.app:create_app()",
    ]


def _supervise(web_command: list[str]) -> int:
    """Run the web processes with a worker beside them. Returns gunicorn's exit status when it ends."""
    web = start_child(web_command)
    stopping = False

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = stopping or number in _STOPPING
        web.send_signal(number)

    for number in (*_STOPPING, signal.SIGHUP):
        signal.signal(number, forward)
    worker = EmbeddedWorker()
    while web.poll() is None:
        if not stopping:
            worker.look_after()
        _wait(web)
    worker.stop()
    return web.returncode


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return
