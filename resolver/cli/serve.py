"""`resolver serve`: gunicorn with a worker beside it."""

from __future__ import annotations

import errno
import os
import socket
import sys

import click

from resolver.cli.terminal import counted, say
from resolver.config import Settings, load
from resolver.errors import StoreUnavailable
from resolver.wiring import build_stores


@click.command()
@click.option("--bind", help="host:port or unix:/path, instead of RESOLVER_BIND.")
@click.option("--workers", type=click.IntRange(1), help="Web processes, instead of WEB_CONCURRENCY.")
def serve(bind: str | None, workers: int | None) -> None:
    """Serve in production: gunicorn, whose master runs a worker beside the web processes. Settings come from
    the environment; `resolver check` checks them."""
    settings = load()
    address, count = bind or settings.bind, workers or settings.web_concurrency
    _require_free(address)
    if reason := _problem_of_redis(settings):
        say(f"Requests are answered 503 until this is mended: {reason}", err=True)
    embedded = settings.worker == "embedded"
    processes = counted(count, "process", "processes")
    say(f"Serving on {address} with {processes}{' and a worker' if embedded else ''}", err=True)
    sys.stderr.flush()
    command = gunicorn_command(address, count, with_worker=embedded)
    # Replace this process, so that a supervisor's signals reach gunicorn.
    os.execv(command[0], command)  # noqa: S606


def _require_free(address: str) -> None:
    """Raise ClickException when another process listens there: gunicorn would try for five seconds, and say
    no more than `OSError`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if address.startswith("unix:") or not port.isdecimal():
        return
    try:
        socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"{address} is in use by another process. Stop it, or name another address with --bind."
            ) from None


def _problem_of_redis(settings: Settings) -> str:
    """Why Redis can't be used; empty when it can. A Redis that comes later is no reason not to start."""
    try:
        build_stores(settings).store.ping()
    except StoreUnavailable as error:
        return error.reason
    return ""


def gunicorn_command(bind: str, workers: int, *, with_worker: bool = False) -> list[str]:
    settings = "gunicorn_with_worker" if with_worker else "gunicorn_settings"
    return [
        sys.executable,
        *("-m", "gunicorn", "-c", f"python:resolver.ops.{settings}"),
        *("--bind", bind, "--workers", str(workers)),
        "resolver.app:create_app()",
    ]
