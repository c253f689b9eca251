"""The folder in which processes share their metrics.

This module imports only the standard library: gunicorn's master makes the folder, and gevent can't patch
modules afterwards that the master has imported.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
IN_USE = "in-use"
_OURS = "resolver-metrics-"
_MEMORY = "/dev/shm"  # noqa: S108 - folders are made there for this user only
# A younger folder may belong to a process that hasn't locked it yet.
_SETTLED_SECONDS = 60
locked: list[IO[bytes]] = []
"""Files that this process keeps locked while it runs."""


def create() -> str:
    """Make a folder for this process and its children, or use the one from the environment. Return why that
    isn't possible, or an empty string."""
    try:
        if not os.environ.get(VARIABLE):
            base = _MEMORY if os.access(_MEMORY, os.W_OK) else tempfile.gettempdir()
            _sweep(Path(base))
            os.environ[VARIABLE] = tempfile.mkdtemp(prefix=_OURS, dir=base)
        folder = Path(os.environ[VARIABLE])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock(folder / IN_USE, fcntl.LOCK_SH)
    except OSError as error:
        os.environ.pop(VARIABLE, None)
        return type(error).__name__
    return ""


def remove() -> None:
    """Remove the folder that this process made, unless other processes still use it."""
    folder = Path(os.environ.get(VARIABLE, ""))
    while locked:
        locked.pop().close()
    if folder.name.startswith(_OURS):
        _remove_unless_used(folder)


def lock(path: Path, how: int) -> None:
    """Lock a file until this process, and those that it forked, have ended."""
    file = path.open("ab")
    try:
        fcntl.flock(file, how)
    except OSError:
        file.close()
        raise
    locked.append(file)


def _sweep(base: Path) -> None:
    """Remove folders that killed processes left behind."""
    for folder in base.glob(f"{_OURS}*"):
        with suppress(OSError):
            found = folder.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if is_ours and time.time() - found.st_mtime > _SETTLED_SECONDS:
                _remove_unless_used(folder)


def _remove_unless_used(folder: Path) -> None:
    with suppress(OSError), (folder / IN_USE).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
