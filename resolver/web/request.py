"""What a request carries on its way through: its id, its time, and who is calling."""

from __future__ import annotations

import random
import re
import time
from typing import NamedTuple

from flask import g, request

from resolver import logs
from resolver.access.callers import Officer
from resolver.access.claims import EndUser
from resolver.audit.attempt import Attempt
from resolver.audit.event import Actor
from resolver.deadline import CURRENT, Deadline
from resolver.notifications.delivery import Reader

RENDERING_SECONDS = 0.05
# What the short way has found out already, when it hands a request on.
STARTED, REQUEST_ID, FAILED = "resolver.started", "resolver.request_id", "resolver.failed"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")


class Failed(NamedTuple):
    """What came of a request that was let in: no reply."""

    attempt: Attempt
    error: Exception


def begin(seconds: float) -> None:
    known = request.environ
    g.request_id = known.get(REQUEST_ID) or request_id_of(request.headers.get("x-request-id", ""))
    g.started = known.get(STARTED) or time.monotonic()
    g.deadline = Deadline(g.started + seconds - RENDERING_SECONDS)
    CURRENT.set(g.deadline)
    logs.REQUEST.set(g.request_id)


def request_id_of(given: str) -> str:
    """The balancer's, when it is well-formed."""
    # Nothing is secret about it, so no system call is made for it: each lets another thread in between.
    return given if _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


def end() -> None:
    """This thread serves others after this one, and what it does between them has no deadline."""
    CURRENT.set(None)
    logs.REQUEST.set("")


def deadline() -> Deadline:
    found: Deadline = g.deadline
    return found


def request_id() -> str:
    return str(g.request_id)


def seconds_so_far() -> float:
    return float(time.monotonic() - g.started)


def attempts(attempt: Attempt | None) -> None:
    g.attempt = attempt


def attempt() -> Attempt:
    """Of a surface whose requests are audited."""
    found: Attempt = g.attempt
    return found


def attempt_if_any() -> Attempt | None:
    found: Attempt | None = g.get("attempt")
    return found


def admit(reader: Reader | Officer | None) -> None:
    g.reader = reader
    if g.get("attempt") and reader:
        g.attempt.actor = actor_of(reader)


def actor_of(reader: Reader | Officer) -> Actor:
    if isinstance(reader, EndUser):
        return Actor("user", reader.user)
    return Actor("ops" if isinstance(reader, Officer) else "backend", reader.name)


def reader() -> Reader:
    """Set by the surface's guard; a surface that is open to anyone has none to ask for."""
    found: Reader = g.reader
    return found


def officer() -> Officer:
    """Of the privacy surface."""
    found: Officer = g.reader
    return found
