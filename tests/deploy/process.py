"""The resolver's processes as each platform of `deploy/` starts them, with their environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resolver.ops.gunicorn_settings import graceful_timeout

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

Yaml = dict[str, Any]
BACKEND_SECRETS = {"VELT_AUTH_TOKEN", "RESOLVER_CALLER_TOKENS", "RESOLVER_PRIVACY_TOKENS"}
"""The secrets of calls by backends and to Velt. A process that the internet reaches has none of them."""


@dataclass(frozen=True)
class Process:
    """One `resolver serve` or `resolver worker`, as some platform starts it."""

    name: str
    command: str
    environment: Mapping[str, str]
    seconds_to_stop: int
    """Seconds that the platform gives the process to stop before it kills it."""
    uses_up: int = 0
    """How many of these seconds have passed when SIGTERM is sent."""

    @property
    def faces_the_internet(self) -> bool:
        return "callback" in self.name

    @property
    def secrets(self) -> set[str]:
        """The names of the settings that come from files."""
        return {name.removesuffix("_FILE") for name in self.environment if name.endswith("_FILE")}

    @property
    def seconds_needed(self) -> int:
        drain = int(self.environment["RESOLVER_DRAIN_SECONDS"]) if self.command == "serve" else 0
        return self.uses_up + drain + graceful_timeout
