"""What a request carries on its way through: its id, its time, and who is calling."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from flask import g, request

from resolver.access.callers import Officer
from resolver.access.claims import EndUser
from resolver.audit.attempt import Attempt
from resolver.audit.event import Actor
from resolver.deadline import CURRENT, Deadline
from resolver.notifications.delivery import Reader

_RENDERING_SECONDS = 0.05
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")


def begin(seconds: float) -> None:
    given = request.headers.get("x-request-id", "")
    g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)
    g.started = time.monotonic()
    g.deadline = Deadline(g.started + seconds - _RENDERING_SECONDS)
    CURRENT.set(g.deadline)
    # On every line that is logged on this request's behalf.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def end() -> None:
    """This thread serves others after this one, and what it does between them has no deadline."""
    CURRENT.set(None)


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
        g.attempt.actor = _actor(reader)


def _actor(reader: Reader | Officer) -> Actor:
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
