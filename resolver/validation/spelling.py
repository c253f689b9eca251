"""Find the key that a name is a misspelling of. Pure.

Only letters and digits are compared, ignoring case: `notifyall`, `notify_all` and ` notifyAll ` are all taken
for `notifyAll`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import NamedTuple

_MAX_LENGTH = 64
"""A longer name is no misspelling of any key here, and is not compared."""
_MISSPELT_RATIO = 0.9
_SUGGESTED_RATIO = 0.6
_MAX_OTHER_LETTERS = 5
"""Letters that only one of two similar words has: at most a tenth of 54, the longest pair."""


def folded(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def misspelt(name: str, keys: frozenset[str], *, slips_only: bool = False) -> str | None:
    """Return the key that `name` is a misspelling of: one typing slip away, or (unless `slips_only`) with
    nearly all of its letters. None when it is one of the keys, or similar to none."""
    if name in keys:
        return None
    letters = folded(name)
    return _misspelt(letters, keys, slips_only) if len(letters) <= _MAX_LENGTH else None


def nearest(name: str, keys: Iterable[str]) -> str | None:
    """Return the key to suggest in an error message, if one is similar enough."""
    if len(name) > _MAX_LENGTH:
        return None
    by_letters = {folded(key): key for key in keys}
    found = get_close_matches(folded(name), by_letters, n=1, cutoff=_SUGGESTED_RATIO)
    return by_letters[found[0]] if found else None


class _Known(NamedTuple):
    key: str
    letters: str
    mask: int


@lru_cache
def _by_length(keys: frozenset[str]) -> dict[int, list[_Known]]:
    """For each length of a name, the keys that it may be similar to."""
    found: dict[int, list[_Known]] = {}
    for key in sorted(keys):
        letters = folded(key)
        for length in _lengths(len(letters)):
            found.setdefault(length, []).append(_Known(key, letters, _mask(letters)))
    return found


def _lengths(own: int) -> range:
    slack = 2 * (1 - _MISSPELT_RATIO) / _MISSPELT_RATIO
    return range(min(own - 1, round(own / (1 + slack))), max(own + 1, round(own * (1 + slack))) + 1)


def _mask(letters: str) -> int:
    """A bit for each letter; some letters share one."""
    mask = 0
    for letter in letters:
        mask |= 1 << (ord(letter) & 63)
    return mask


@lru_cache(maxsize=32_768)  # each name of a request is compared with several sets of keys
def _misspelt(letters: str, keys: frozenset[str], slips_only: bool) -> str | None:
    candidates = _by_length(keys).get(len(letters))
    if not candidates:
        return None
    # Cheap comparisons first: a backend may send thousands of names.
    mask = _mask(letters)
    near = [
        known.key
        for known in candidates
        if (known.mask ^ mask).bit_count() <= _MAX_OTHER_LETTERS
        and (_is_one_slip(letters, known.letters) or (not slips_only and _resemble(letters, known.letters)))
    ]
    return nearest(letters, near) if near else None


def _resemble(letters: str, key: str) -> bool:
    return SequenceMatcher(None, letters, key).ratio() >= _MISSPELT_RATIO


def _is_one_slip(letters: str, key: str) -> bool:
    """Whether at most one letter is missing, added or changed, or two neighbours are swapped."""
    start = _common_start(letters, key)
    rest, other = letters[start:], key[start:]
    end = _common_start(rest[::-1], other[::-1])
    rest, other = rest[: len(rest) - end], other[: len(other) - end]
    return max(len(rest), len(other)) <= 1 or (len(rest) == 2 and rest == other[::-1])


def _common_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
