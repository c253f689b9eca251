"""A value that never appears in a log, a traceback or a repr by accident."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Secret:
    """A secret. Code must call `reveal` to read it, so a search finds every such place."""

    _value: bytes

    @classmethod
    def of(cls, text: str) -> Secret:
        return cls(text.encode())

    def reveal(self) -> str:
        return self._value.decode()

    def reveal_bytes(self) -> bytes:
        return self._value

    def matches(self, presented: str) -> bool:
        """Compare in constant time. The encoding is lenient, since header values may hold any byte."""
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
    """Whether it is too short, or one byte repeated, as placeholders are."""
    return len(value) < minimum or len(set(value)) == 1
