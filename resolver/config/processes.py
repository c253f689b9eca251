"""The settings of the HTTP server. Gunicorn's master reads them too, before everything else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from resolver.config.environment import Environment
from resolver.errors import SettingsError

_DRAIN_SECONDS = 3


class Processes(NamedTuple):
    bind: str
    web_concurrency: int
    drain_seconds: int


def load_processes(variables: Mapping[str, str] | None = None) -> Processes:
    """Read them. Raises SettingsError with all problems."""
    env = Environment(os.environ if variables is None else variables)
    found = read_processes(env)
    if env.problems:
        raise SettingsError(env.problems)
    return found


def read_processes(env: Environment) -> Processes:
    bind = env.text("RESOLVER_BIND", "127.0.0.1:8080")
    if not re.fullmatch(r"unix:/.+|(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}", bind):
        env.problem("RESOLVER_BIND", "must be host:port or unix:/path, such as 127.0.0.1:8080")
    return Processes(
        bind,
        env.whole("WEB_CONCURRENCY", os.cpu_count() or 1, 1, 256),
        env.whole("RESOLVER_DRAIN_SECONDS", _DRAIN_SECONDS, 0, 300),
    )
