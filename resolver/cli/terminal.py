"""What commands print. Ids and texts come from other people, and a terminal obeys what it is sent."""

from __future__ import annotations

import json
import re
from typing import Any

import click

# C0 and C1 controls, DEL, what turns the direction of text, line and paragraph separators, half characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """On one line, with everything spelt out that would act on a terminal."""
    return _UNSAFE.sub(_spelt, text)


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


def _spelt(found: re.Match[str]) -> str:
    letter = found[0]
    return f"\\u{ord(letter):04x}" if letter == "\x7f" else json.dumps(letter)[1:-1]
