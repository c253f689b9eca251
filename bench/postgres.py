"""A PostgreSQL of our own, from the system's package, on a socket that nobody else opens."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from resolver.cli.children import start_child, stop_child

_START_SECONDS = 30
_UNPRIVILEGED = ("postgres", "nobody")
_DEBIAN = Path("/usr/lib/postgresql")


class NoPostgres(Exception):
    """Why there is none to compare with."""


def find_program(name: str) -> str:
    installed = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if installed:
        return str(installed[-1])
    if found := shutil.which(name):
        return found
    raise NoPostgres(f"{name} is not installed (Debian: postgresql)")


def require_driver() -> None:
    for module in ("velt_py", "psycopg", "psycopg_pool"):
        if not find_spec(module):
            raise NoPostgres(f"{module} is not installed (the `bench` extra)")


class LocalPostgres:
    """Runs from construction until `stop`, with the package's own settings: every commit is on the disk."""

    def __init__(self) -> None:
        require_driver()
        programs = find_program("initdb"), find_program("postgres")
        self._folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
        try:
            self._process = self._started(*programs)
            self._wait_until_ready()
        except (OSError, subprocess.SubprocessError) as problem:
            self.stop()
            raise NoPostgres(f"PostgreSQL does not start: {problem}") from problem

    @property
    def dsn(self) -> str:
        return f"postgresql://bench@/postgres?host={self._folder}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        if hasattr(self, "_process"):
            stop_child(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self, initdb: str, postgres: str) -> subprocess.Popen[bytes]:
        data, prefix = str(self._folder / "data"), self._as_somebody_else()
        made = [*prefix, initdb, "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        with (self._folder / "log").open("wb") as log:
            command = [postgres, "-D", data, "-k", str(self._folder), "-c", "listen_addresses="]
            return start_child([*prefix, *command], stdout=log, stderr=log, cwd=Path("/"))

    def _as_somebody_else(self) -> list[str]:
        """It refuses to run as root. Whoever becomes somebody else doesn't end with its parent any more,
        unless it says so again."""
        if os.geteuid():
            return []
        for user in _UNPRIVILEGED:
            with suppress(LookupError):
                shutil.chown(self._folder, user)
                become = ["setpriv", f"--reuid={user}", "--clear-groups", "--regid=nogroup"]
                return [*become, "--pdeathsig=INT", "--"]
        raise NoPostgres(f"run as root it needs one of the users {', '.join(_UNPRIVILEGED)}")

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._folder / ".s.PGSQL.5432"))
                return
            time.sleep(0.05)
        raise subprocess.SubprocessError((self._folder / "log").read_text(errors="replace")[-500:])
