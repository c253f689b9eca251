"""Child processes that end with their parent, and waiting until they are ready."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import click

Output = int | IO[bytes] | None

_PR_SET_PDEATHSIG = 1
# Loaded at import: between fork and exec, a child must not do more than call it.
_LIBC = ctypes.CDLL(None)
_STOP_SECONDS = 8
_START_SECONDS = 30
_HINTS = {
    "down": "Does the Redis of REDIS_URL run, and is it ours?",
    "foreign": (
        "That Redis was used with another RESOLVER_INDEX_KEY or VELT_API_KEY: use that key again, or another "
        "Redis. `resolver keys adopt` moves it to another VELT_API_KEY on purpose."
    ),
    "outdated": (
        "That Redis holds data of another version: run that version, or use an empty Redis. Development "
        "data can be removed (by default in .resolver)."
    ),
}


def start_child(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    stdout: Output = None,
    stderr: Output = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own. Ctrl-C reaches only the parent, which stops its children in
    order."""
    return subprocess.Popen(  # noqa: S603 - commands of our own making
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
    )


class ChildProcess:
    """A child process that can be restarted."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], stdout: Output = None) -> None:
        self._start = partial(start_child, command, env, stdout)
        self.process = self._start()

    def restart(self) -> None:
        # SIGTERM ends a child that is still starting silently; SIGINT would print a traceback.
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        self.stop()
        self.process = self._start()

    def stop(self) -> None:
        stop_child(self.process)


def stop_child(process: subprocess.Popen[bytes]) -> None:
    """Stop a child with SIGINT, on which gunicorn doesn't wait for idle connections; after 8 s, kill it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent dies, even if the parent is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _State(NamedTuple):
    """The answer of `/readyz`."""

    is_up: bool = False
    redis: str = "down"


def _state(url: str) -> _State:
    with contextlib.suppress(OSError, ValueError):
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own address
                return _State(is_up=reply.status == 200)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _State(redis=str(json.load(refusal).get("redis")))
    return _State()


def wait_until_ready(
    url: str, children: list[subprocess.Popen[bytes]], ask_for_replay: Callable[[], None]
) -> None:
    """Wait until the URL answers. Raises ClickException after 30 s, or when a child ends. There is no time
    limit while Redis is a restored backup: an operator has to replay erasures."""
    until, asked = time.monotonic() + _START_SECONDS, False
    while not (state := _state(url)).is_up:
        raise_if_ended(children)
        if state.redis == "restored" and not asked:
            ask_for_replay()
            asked = True
        if time.monotonic() > until and not asked:
            raise click.ClickException(f"{url} did not become ready. {_HINTS.get(state.redis, '')}")
        time.sleep(0.05)


def raise_if_ended(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is not None:
            raise click.ClickException(
                f"A child process has ended (exit status {child.returncode}); see above."
            )
