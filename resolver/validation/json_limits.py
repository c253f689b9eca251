"""Limits on the shape of JSON: how deeply it is nested, and how many objects and lists it makes in memory.

JSON that is nested deeper than `DEEPEST` makes another layer fail later, when that layer walks or writes it.
A list of empty brackets takes 3 bytes on the wire and about 60 in memory: a few megabytes of it keep a
process busy for seconds.
"""

from __future__ import annotations

from typing import Any

DEEPEST = 64
MOST_CONTAINERS = 100_000
"""Objects and lists in one answer of another service. A page of 1,000 notifications holds about 20,000. They
are counted before parsing by their opening brackets, those within strings too."""


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
