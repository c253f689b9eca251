"""Whether a text names somebody: their name's words, one after the other, whatever the case. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

Mention = tuple[str, ...]
_WORD = re.compile(r"\w+")


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
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
