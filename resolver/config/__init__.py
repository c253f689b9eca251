"""The settings: read once from the environment, frozen, secrets masked.

To add one: a field in `settings`, a line where it is read (`reading`, or `callbacks` for what end users
meet), a section of docs/configuration.md (a test holds the two together).
"""

from resolver.config.reading import load
from resolver.config.settings import (
    DIRECT,
    OutboundSettings,
    PermissionSettings,
    RateLimit,
    Settings,
    TokenSettings,
)

__all__ = [
    "DIRECT",
    "OutboundSettings",
    "PermissionSettings",
    "RateLimit",
    "Settings",
    "TokenSettings",
    "load",
]
