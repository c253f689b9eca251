"""Rotate the development keys as docs/operations.md describes it for production:

1. put the new key in second place, and restart everything;
2. move it to first place, and restart everything;
3. run `resolver keys rotate`.

An interruption loses nothing: no key is ever removed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from resolver.cli.children import ChildProcess, start_child, stop_child
from resolver.cli.dev_state import MasterKeys
from resolver.cli.terminal import say
from resolver.demo.dev_control import DevControl

_RELOAD_SECONDS = 30
_ROTATE = (sys.executable, "-m", "resolver", "keys", "rotate", "--json")


@dataclass(frozen=True, slots=True)
class Rotation:
    keys: MasterKeys
    dev_control: DevControl
    web: ChildProcess
    worker: ChildProcess
    url: str
    variables: Mapping[str, str]

    def run_if_requested(self) -> None:
        if not self.dev_control.is_rotation_requested():
            return
        try:
            self._rotate()
        except (OSError, TimeoutError, subprocess.SubprocessError) as error:
            say(f"The rotation of the keys was not finished; nothing is lost. ({error})", err=True)
        finally:
            self.dev_control.clear_rotation()

    def _rotate(self) -> None:
        label = self.keys.add_second()
        self._reload()
        self.keys.put_first(label)
        self._reload()
        _reseal(self.variables)

    def _reload(self) -> None:
        """Restart web and worker, and wait until no process with the former keys is left."""
        before = self._serving()
        if before is None:
            raise TimeoutError("the web process did not answer")
        self.web.process.send_signal(signal.SIGHUP)
        self.worker.restart()
        until = time.monotonic() + _RELOAD_SECONDS
        while _is_there(before) or self._serving() is None:
            if time.monotonic() > until:
                raise TimeoutError("the web process did not restart")
            time.sleep(0.1)

    def _serving(self) -> int | None:
        """Return the id of the web process, or None if it doesn't answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/demo/keys", timeout=5) as reply:  # noqa: S310 - our own
                return int(json.load(reply)["process"])
        except (OSError, ValueError):
            return None


def _reseal(variables: Mapping[str, str]) -> None:
    process = start_child(_ROTATE, env=variables, stdout=subprocess.DEVNULL)
    try:
        if process.wait():
            raise subprocess.SubprocessError("`resolver keys rotate` says why above")
    finally:
        stop_child(process)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
