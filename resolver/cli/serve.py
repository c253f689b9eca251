"""`resolver serve`: gunicorn, as in production."""

from __future__ import annotations

import os
import sys

import click

from resolver.settings import load


@click.command()
@click.option("--bind", help="host:port or unix:/path; wins over RESOLVER_BIND.")
@click.option("--workers", type=click.IntRange(1), help="Web processes; wins over WEB_CONCURRENCY.")
def serve(bind: str | None, workers: int | None) -> None:
    """Serve in production. Settings come from the environment; `resolver check` judges them."""
    settings = load()
    address, count = bind or settings.bind, workers or settings.web_concurrency
    command = gunicorn_command(address, count)
    click.echo(f"Serving on {address} with {count} processes", err=True)
    sys.stderr.flush()
    # In place of this process, so that a supervisor's signals reach gunicorn itself.
    os.execv(command[0], command)  # noqa: S606


def gunicorn_command(bind: str, workers: int) -> list[str]:
    return [
        sys.executable,
        *("-m", "gunicorn", "-c", "python:resolver.serving"),
        *("--bind", bind, "--workers", str(workers)),
        "resolver.app:create_app()",
    ]
