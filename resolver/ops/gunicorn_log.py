"""Remove everything that a client sent from gunicorn's own log lines.

gunicorn quotes request lines, header lines and exceptions. Any of them may contain a token or a credential.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any

from gunicorn.glogging import Logger

from resolver.errors import SettingsError

# The message up to its first placeholder. The address is not chosen by the client.
_FIXED = re.compile(r"Invalid request from ip=[0-9A-Fa-f.:]*|[^%:\n]*")


class ServerLog(Logger):  # type: ignore[misc]
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(without_requests)


def without_requests(record: logging.LogRecord) -> bool:
    """Reduce a line about an error to its fixed part, the error's type and its place in the code. Lines about
    processes and signals are unchanged."""
    error = sys.exc_info()[1]
    if error is None:
        return True
    fixed = _FIXED.match(record.msg) if isinstance(record.msg, str) else None
    said = [fixed[0].rstrip(": ")] if fixed else []
    if isinstance(error, SettingsError):
        said.append(str(error))  # written for operators, and contains no values
    else:
        said.append(type(error).__name__)
    places = traceback.extract_tb(error.__traceback__) if record.exc_info else []
    lines = [f"  {place.filename}:{place.lineno} in {place.name}" for place in places]
    record.msg, record.args = "\n".join([": ".join(said), *lines]), ()
    record.exc_info = record.exc_text = None
    return True
