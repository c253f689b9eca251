"""One line per event. Never a body, a query string, a token or content: those are not handed to the log."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any, Literal

import orjson
import structlog

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request on whose behalf this thread logs."""
bound: Any = structlog.get_logger()
"""For what is logged with every request: made once, where the others are made anew for each line."""


def configure(level: str, style: Literal["json", "console"]) -> None:
    shared: list[structlog.typing.Processor] = [
        _with_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if style == "console" else structlog.processors.JSONRenderer(_to_text)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    global bound  # noqa: PLW0603 - there is one configuration
    bound = structlog.get_logger().bind()


def _with_request(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if request := REQUEST.get():
        event["request_id"] = request
    return event


def _to_text(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
