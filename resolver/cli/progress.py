"""A progress bar for people: on standard error, and only where somebody looks."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import Progress


def progress_bar(*, quiet: bool = False) -> Progress:
    return Progress(console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())
