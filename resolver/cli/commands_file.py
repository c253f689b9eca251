"""The settings of a running `resolver dev`, for commands in another terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

_OURS = ("RESOLVER_", "VELT_", "REDIS_URL")


@contextmanager
def commands_file(file: Path, variables: Mapping[str, str], more: Mapping[str, str]) -> Iterator[str]:
    """What to type there. It holds secrets: for this user alone, and gone when they are of no use.

    `more`: what is to be set beside our own settings.
    """
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in _lines(variables, more))
    try:
        yield f". {quote(str(file) if file.is_absolute() else f'./{file}')}"
    finally:
        file.unlink(missing_ok=True)


def _lines(variables: Mapping[str, str], more: Mapping[str, str]) -> Iterator[str]:
    ours = {name: value for name, value in variables.items() if name.startswith(_OURS)}
    for name, value in sorted({**ours, **more}.items()):
        yield f"export {name}={quote(value)}"
    # The virtual environment of `make run` is on nobody's path.
    yield f'export PATH={quote(str(Path(sys.executable).parent))}:"$PATH"'
