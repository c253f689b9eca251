"""Limits on the shape of JSON: depth of nesting, and number of objects and lists.

JSON nested deeper than `DEEPEST` fails later, in a layer that walks or writes it. Each empty list in a list
takes 3 bytes of JSON and about 60 in memory: a few megabytes block a process for seconds.
"""

from __future__ import annotations

from typing import Any

DEEPEST = 64
MAX_CONTAINERS = 100_000
"""Objects and lists in one answer of another service; a page of 1,000 notifications has about 20,000. They
are counted before parsing, by opening brackets, also those within strings."""


def is_too_deep(parsed: Any) -> bool:
    """Walk the permitted levels. Text with no more brackets than these needs no walk."""
    level: list[Any] = [parsed]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, dict | list)]
