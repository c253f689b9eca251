"""Waiting for children until they serve, or until it is clear what keeps them from it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

import click

_START_SECONDS = 30
_WHY = {
    "down": "Is the Redis of REDIS_URL there, and ours?",
    "foreign": (
        "That Redis was used with another RESOLVER_INDEX_KEY or VELT_API_KEY: put that back, or take another "
        "Redis. `resolver keys adopt` moves it to another VELT_API_KEY on purpose."
    ),
    "outdated": (
        "That Redis holds data of another version: run that version, or take an empty Redis. Development "
        "data can be removed (by default in .resolver)."
    ),
}


class _State(NamedTuple):
    """What `/readyz` says; a refusal says why."""

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
    """A Redis that came back from a backup is waited for without limit: somebody has to replay erasures."""
    dead_letter, asked = time.monotonic() + _START_SECONDS, False
    while not (state := _state(url)).is_up:
        raise_if_ended(children)
        if state.redis == "restored" and not asked:
            ask_for_replay()
            asked = True
        if time.monotonic() > dead_letter and not asked:
            raise click.ClickException(f"{url} did not become ready. {_WHY.get(state.redis, '')}")
        time.sleep(0.05)


def raise_if_ended(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is not None:
            raise click.ClickException(f"A part has ended (exit status {child.returncode}); see above.")
