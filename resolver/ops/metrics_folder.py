"""The folder that several processes keep their figures in.

Standard library alone: gunicorn's master makes the folder, and what a master has imported can't be made
cooperative afterwards in the workers that it forks.
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
_MEMORY = "/dev/shm"  # noqa: S108 - what is made there is nobody else's to read
# A folder younger than that may belong to a process that hasn't come to locking it.
_SETTLED_SECONDS = 60
held: list[IO[bytes]] = []
"""Files that this process has locked, for as long as it runs."""


def provide() -> str:
    """Make a folder for this process and those that it starts, or use the one that it was started with.
    Returns why figures can't be shared, or nothing."""
    try:
        if not os.environ.get(VARIABLE):
            base = _MEMORY if os.access(_MEMORY, os.W_OK) else tempfile.gettempdir()
            _sweep(Path(base))
            os.environ[VARIABLE] = tempfile.mkdtemp(prefix=_OURS, dir=base)
        folder = Path(os.environ[VARIABLE])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hold(folder / IN_USE, fcntl.LOCK_SH)
    except OSError as error:
        os.environ.pop(VARIABLE, None)
        return type(error).__name__
    return ""


def withdraw() -> None:
    """Its maker's end: the folder goes, unless others are still in it."""
    folder = Path(os.environ.get(VARIABLE, ""))
    while held:
        held.pop().close()
    if folder.name.startswith(_OURS):
        _remove_unless_used(folder)


def hold(path: Path, how: int) -> None:
    """For as long as this process, or one that it forked, has the file open."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock, how)
    except OSError:
        lock.close()
        raise
    held.append(lock)


def _sweep(base: Path) -> None:
    """What was left behind by somebody who was killed."""
    for folder in base.glob(f"{_OURS}*"):
        with suppress(OSError):
            found = folder.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if is_ours and time.time() - found.st_mtime > _SETTLED_SECONDS:
                _remove_unless_used(folder)


def _remove_unless_used(folder: Path) -> None:
    with suppress(OSError), (folder / IN_USE).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
