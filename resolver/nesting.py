"""How deep JSON may be nested. Deeper, and whoever walks or writes it fails at some other layer, later."""

from __future__ import annotations

from typing import Any

DEEPEST = 64


def is_too_deep(parsed: Any, raw: bytes) -> bool:
    # Fewer brackets than levels allowed: no need to walk.
    if raw.count(b"{") + raw.count(b"[") <= DEEPEST:
        return False
    level: list[Any] = [parsed]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, dict | list)]
