"""Child processes that end when they are told to, and when their parent is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

Output = int | IO[bytes] | None

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec a child must not do more than a call.
_LIBC = ctypes.CDLL(None)
_STOP_SECONDS = 8


def start_child(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    stdout: Output = None,
    stderr: Output = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """In a session of its own: a Ctrl-C reaches the parent alone, which then stops its children in order."""
    return subprocess.Popen(  # noqa: S603 - commands of our own making
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
    )


class Part:
    """A child process that can be started anew."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], stdout: Output = None) -> None:
        self._start = partial(start_child, command, env, stdout)
        self.process = self._start()

    def restart(self) -> None:
        # By TERM one that is still starting ends without a word; INT would be a traceback there.
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        self.stop()
        self.process = self._start()

    def stop(self) -> None:
        stop_child(self.process)


def stop_child(process: subprocess.Popen[bytes]) -> None:
    """Asks with SIGINT, on which gunicorn doesn't wait for idle connections; insists after a while."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _end_with_parent() -> None:
    """So that a parent that is killed outright leaves nothing running behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
