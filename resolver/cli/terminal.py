"""What commands print. Ids and texts come from other people, and a terminal obeys what it is sent."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import click

_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
"""Controls, formats such as directions, unassigned, private use, surrogates, line breaks."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Unicode's Default_Ignorable_Code_Point in other categories: marks and fillers that aren't drawn."""


def printable(text: str) -> str:
    """On one line, with everything spelt out that acts on a terminal or that no reader sees."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelt(letter) if _is_unsafe(letter) else letter for letter in text)


def _is_unsafe(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSAFE_CATEGORIES or _INVISIBLE.match(letter) is not None


def say(*lines: str, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Prints lines; in none of them anything begins another one."""
    for line in lines:
        # Without a style there is nothing to reset: `style` would end the line with an escape of its own.
        text = printable(line)
        click.echo(click.style(text, fg=fg, bold=bold) if fg or bold else text, err=err)


def say_parts(*parts: tuple[str, str | None]) -> None:
    """One line of texts and their colours."""
    click.echo("  ".join(click.style(printable(text), fg=colour) for text, colour in parts))


def say_json(value: Any, *, indent: int | None = None, ascii_only: bool = True) -> None:
    """Prints JSON. What is spelt out in it means the same to whoever parses it."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    say(*text.split("\n"))


def _spelt(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter == "\x7f" else json.dumps(letter)[1:-1]
