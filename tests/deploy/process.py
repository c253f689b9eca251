"""What `deploy/` starts: each process of ours on each platform, with what it is given."""

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
"""By which backends call and Velt is called: what faces the internet has none of them."""


@dataclass(frozen=True)
class Process:
    """One `resolver serve` or `resolver worker`, as some platform starts it."""

    name: str
    command: str
    environment: Mapping[str, str]
    seconds_to_stop: int
    """Between being asked to and being killed."""
    uses_up: int = 0
    """Of these, before it hears of it."""

    @property
    def faces_the_internet(self) -> bool:
        return "callback" in self.name

    @property
    def secrets(self) -> set[str]:
        """Of its settings those that come from files."""
        return {name.removesuffix("_FILE") for name in self.environment if name.endswith("_FILE")}

    @property
    def seconds_needed(self) -> int:
        drain = int(self.environment["RESOLVER_DRAIN_SECONDS"]) if self.command == "serve" else 0
        return self.uses_up + drain + graceful_timeout
