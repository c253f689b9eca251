"""Whether a text names somebody: their name's words, one after the other, whatever the case. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

Mention = tuple[str, ...]
_WORDS = re.compile(r"\w+")
_FROM_ITS_FIRST_LETTER = re.compile(r"\w.*")
# They shape what stands beside them, and may be left out: joiners, soft hyphens, variation selectors.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200c\u200d\u2060\ufe0e\ufe0f"))


def mention(name: str) -> Mention:
    return tuple(_words(name))


def phrases(text: str, length: int) -> Iterator[Mention]:
    """Every so many words that follow each other."""
    words = _words(text)
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def is_mentioned(texts: Iterable[str], names: Iterable[Mention]) -> bool:
    wanted = {name for name in names if name}
    lengths = {len(name) for name in wanted}
    return any(phrase in wanted for text in texts for length in lengths for phrase in phrases(text, length))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).casefold()
    if plain.isascii():
        return _WORDS.findall(plain)
    spaced = "".join(letter if _is_of_a_word(letter) else " " for letter in plain)
    return [found[0] for part in spaced.split() if (found := _FROM_ITS_FIRST_LETTER.search(part))]


def _is_of_a_word(letter: str) -> bool:
    """A mark belongs to the letter before it: vowels are marks in many scripts, and no `\\w`."""
    return letter.isalnum() or letter == "_" or unicodedata.category(letter).startswith("M")
