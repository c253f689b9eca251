"""A value that must not show up in a log, a traceback or a repr by accident."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Secret:
    """Reading it takes the word `reveal`, so that every place that does is found by searching for it."""

    _value: bytes

    @classmethod
    def of(cls, text: str) -> Secret:
        return cls(text.encode())

    def reveal(self) -> str:
        return self._value.decode()

    def reveal_bytes(self) -> bytes:
        return self._value

    def matches(self, presented: str) -> bool:
        """Constant time. Header values may hold any byte, hence the lenient encoding."""
        return hmac.compare_digest(self._value, presented.encode("utf-8", "surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__


def is_weak(value: bytes, minimum: int) -> bool:
    """Too short, or one byte repeated: what a placeholder looks like."""
    return len(value) < minimum or len(set(value)) == 1
