"""What a request carries on its way through: its id, its time, and who is calling."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from flask import g, request

from resolver.deadline import Deadline
from resolver.notifications.delivery import Reader
from resolver.services import Services

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")


def begin() -> None:
    given = request.headers.get("x-request-id", "")
    g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)
    g.started = time.monotonic()
    # On every line that is logged on this request's behalf.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def deadline(services: Services) -> Deadline:
    return Deadline(g.started + services.settings.deadline_ms / 1000)


def request_id() -> str:
    return str(g.request_id)


def seconds_so_far() -> float:
    return float(time.monotonic() - g.started)


def admit(reader: Reader | None) -> None:
    g.reader = reader


def reader() -> Reader:
    """Set by the surface's guard; a surface that is open to anyone has none to ask for."""
    found: Reader = g.reader
    return found
