"""Which key a name was probably meant to be. Pure.

Names are compared without regard to case, `_` and `-`, so `notifyall` and `notify_all` both mean `notifyAll`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import NamedTuple

_LONGEST = 64
"""A longer name is no misspelling of any key here, and comparing it would take time."""
_RESEMBLES = 0.9
_SUGGESTED = 0.6
_MOST_OTHER_LETTERS = 5
"""Two words that resemble each other have no more in one of them alone: a tenth of 54, the longest pair."""


def folded(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def misspelt(name: str, keys: frozenset[str], *, slips_only: bool = False) -> str | None:
    """Return the key that `name` is a misspelling of: one slip of the keyboard away from it, or (unless
    `slips_only`) with nearly all of its letters. None when it is one of the keys, or resembles none."""
    if name in keys or len(name) > _LONGEST:
        return None
    return _misspelt(folded(name), keys, slips_only)


def nearest(name: str, keys: Iterable[str]) -> str | None:
    """Return the key to suggest in an error message, if any is near enough to help."""
    if len(name) > _LONGEST:
        return None
    by_letters = {folded(key): key for key in keys}
    found = get_close_matches(folded(name), by_letters, n=1, cutoff=_SUGGESTED)
    return by_letters[found[0]] if found else None


class _Known(NamedTuple):
    key: str
    letters: str
    alphabet: frozenset[str]
    within: range
    """How long a name may be that resembles it."""


@lru_cache
def _known(keys: frozenset[str]) -> list[_Known]:
    words = [(key, folded(key)) for key in sorted(keys)]
    return [_Known(key, letters, frozenset(letters), _lengths(len(letters))) for key, letters in words]


def _lengths(own: int) -> range:
    slack = 2 * (1 - _RESEMBLES) / _RESEMBLES
    return range(min(own - 1, round(own / (1 + slack))), max(own + 1, round(own * (1 + slack))) + 1)


def _misspelt(letters: str, keys: frozenset[str], slips_only: bool) -> str | None:
    length, alphabet = len(letters), frozenset(letters)
    near = [
        known.key
        for known in _known(keys)
        # What is cheap to tell comes first: a backend may send thousands of names.
        if length in known.within
        and len(known.alphabet ^ alphabet) <= _MOST_OTHER_LETTERS
        and (_is_one_slip(letters, known.letters) or (not slips_only and _resemble(letters, known.letters)))
    ]
    return nearest(letters, near) if near else None


def _resemble(letters: str, key: str) -> bool:
    return SequenceMatcher(None, letters, key).ratio() >= _RESEMBLES


def _is_one_slip(letters: str, key: str) -> bool:
    """No letter, or one, missing, added or changed, or two neighbours swapped."""
    start = _common_start(letters, key)
    rest, other = letters[start:], key[start:]
    end = _common_start(rest[::-1], other[::-1])
    rest, other = rest[: len(rest) - end], other[: len(other) - end]
    return max(len(rest), len(other)) <= 1 or (len(rest) == 2 and rest == other[::-1])


def _common_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
