"""Print to the terminal. Ids and texts come from other people, so control characters are escaped."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
"""Control characters, formats such as text direction, unassigned, private use, surrogates, line breaks."""
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Unicode's Default_Ignorable_Code_Point in other categories: invisible marks and fillers."""


def printable(text: str) -> str:
    """Escape everything that acts on a terminal or is invisible. The result is one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) if _is_unsafe(letter) else letter for letter in text)


def _is_unsafe(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSAFE_CATEGORIES or _INVISIBLE.match(letter) is not None


def say(*lines: str, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Print lines, escaped; none can start another line."""
    for line in lines:
        # Without colour, skip `style`: it would end the line with an escape sequence.
        text = printable(line)
        click.echo(click.style(text, fg=fg, bold=bold) if fg or bold else text, err=err)


def say_parts(*parts: tuple[str, str | None]) -> None:
    """Print one line of texts with their colours."""
    click.echo("  ".join(click.style(printable(text), fg=colour) for text, colour in parts))


def say_json(value: Any, *, indent: int | None = None, ascii_only: bool = True) -> None:
    """Print JSON. Escapes in it mean the same to a parser."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    say(*text.split("\n"))


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter == "\x7f" else json.dumps(letter)[1:-1]


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with the singular or the plural."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def progress_bar(*, quiet: bool = False) -> Progress:
    """A progress bar on standard error, shown only at a terminal."""
    return Progress(console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())
