"""The settings: read once from the environment, frozen, with masked secrets.

To add one: a field in `settings`, a line where it is read (`reading`, or `callbacks` for what concerns end
users), and a section in docs/configuration.md (a test requires it).
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
