"""gunicorn's own log lines, without anything that a client sent.

gunicorn quotes request lines, header lines and texts of exceptions. A query may hold a token, a header line
may be a credential, and the text of an exception may be either.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any

from gunicorn.glogging import Logger

from resolver.errors import SettingsError

# Up to the first thing that is filled in. The address isn't the client's own words.
_FIXED = re.compile(r"Invalid request from ip=[0-9A-Fa-f.:]*|[^%:\n]*")


class ServerLog(Logger):  # type: ignore[misc]
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(without_requests)


def without_requests(record: logging.LogRecord) -> bool:
    """Leaves the fixed part of a line that is about an error, with the error's type and its place in the
    code. Lines about processes and signals stay as they are."""
    error = sys.exc_info()[1]
    if error is None:
        return True
    fixed = _FIXED.match(record.msg) if isinstance(record.msg, str) else None
    said = [fixed[0].rstrip(": ")] if fixed else []
    if isinstance(error, SettingsError):
        said.append(str(error))  # written for the operator, without any value
    else:
        said.append(type(error).__name__)
    places = traceback.extract_tb(error.__traceback__) if record.exc_info else []
    lines = [f"  {place.filename}:{place.lineno} in {place.name}" for place in places]
    record.msg, record.args = "\n".join([": ".join(said), *lines]), ()
    record.exc_info = record.exc_text = None
    return True
