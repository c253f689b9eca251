"""Logging, one line per event. No call passes a body, a query string, a token or content to it."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextvars import ContextVar
from typing import Any, Literal

import orjson
import structlog

from resolver import clock

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that is being handled."""
REQUEST_LINE = "request"
"""The event logged at the end of every request."""
_COLOURS = {"ok": "32", "denied": "33", "limited": "33", "invalid": "33", "unavailable": "31", "failed": "31"}
# Called repeatedly by machines: on the console, hide them from people looking for their own calls.
_CALLED_BY_MACHINES = frozenset({"ops", "metrics", "demo", "docs"})
bound: Any = structlog.get_logger()
"""The logger for every request: bound once, since binding for each line costs time."""


def configure(level: str, style: Literal["json", "console"]) -> None:
    shared: list[structlog.typing.Processor] = [
        _with_request_and_time,
        structlog.processors.add_log_level,
    ]
    renderer: structlog.typing.Processor
    if style == "console":
        renderer = _for_people(coloured=sys.stderr.isatty() and not os.environ.get("NO_COLOR"))
        into: Any = structlog.PrintLoggerFactory(sys.stderr)
    else:
        renderer = structlog.processors.JSONRenderer(orjson.dumps, default=str)
        into = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=into,
        cache_logger_on_first_use=False,
    )
    global bound  # noqa: PLW0603 - there is one configuration
    bound = structlog.get_logger().bind()


def _with_request_and_time(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if request := REQUEST.get():
        event["request_id"] = request
    event["timestamp"] = clock.millisecond_now()
    return event


def _for_people(*, coloured: bool) -> structlog.typing.Processor:
    """Render a request as one short line, and all other events as structlog does."""
    others = structlog.dev.ConsoleRenderer(colors=coloured)

    def render(logger: Any, method: str, event: structlog.typing.EventDict) -> str | bytes:
        if event["event"] != REQUEST_LINE:
            return others(logger, method, event)
        if event["surface"] in _CALLED_BY_MACHINES and event["outcome"] in ("ok", "unavailable"):
            raise structlog.DropEvent
        return _request_line(event, coloured=coloured)

    return render


def _request_line(event: structlog.typing.EventDict, *, coloured: bool) -> str:
    outcome = f"{event['status']} {event['outcome']:<11}"
    shown = f"\x1b[{_COLOURS[event['outcome']]}m{outcome}\x1b[0m" if coloured else outcome
    called = f"{event['method']} {event['route'] or '(no such path)'}"
    return f"{time.strftime('%H:%M:%S')}  {event['surface']:<8}  {shown}  {event['ms']:>8.1f} ms  {called}"
