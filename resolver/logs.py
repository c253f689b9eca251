"""One line per event. Never a body, a query string, a token or content: those are not handed to the log."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import orjson
import structlog


def configure(level: str, style: Literal["json", "console"]) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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


def _to_text(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
