"""Search texts for a name: its words in sequence, ignoring case. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

Phrase = tuple[str, ...]
_WORDS = re.compile(r"\w+")
_FROM_FIRST_LETTER = re.compile(r"\w.*")
# Joiners, soft hyphens, variation selectors: they only shape neighbouring letters, and may be missing.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200c\u200d\u2060\ufe0e\ufe0f"))


def to_phrase(name: str) -> Phrase:
    return tuple(_words(name))


def phrases(text: str, length: int) -> Iterator[Phrase]:
    """Yield every sequence of `length` words."""
    words = _words(text)
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def is_mentioned(texts: Iterable[str], names: Iterable[Phrase]) -> bool:
    wanted = {name for name in names if name}
    lengths = {len(name) for name in wanted}
    return any(phrase in wanted for text in texts for length in lengths for phrase in phrases(text, length))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).casefold()
    if plain.isascii():
        return _WORDS.findall(plain)
    spaced = "".join(letter if _is_word_character(letter) else " " for letter in plain)
    return [found[0] for part in spaced.split() if (found := _FROM_FIRST_LETTER.search(part))]


def _is_word_character(letter: str) -> bool:
    """Marks count as letters: vowels are marks in many scripts, and `\\w` doesn't match them."""
    return letter.isalnum() or letter == "_" or unicodedata.category(letter).startswith("M")
