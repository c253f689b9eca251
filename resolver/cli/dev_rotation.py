"""Rotation of the development keys, as docs/operations.md has it for production: the new key in second place,
everything restarted, then in the first, everything restarted, then what `resolver keys rotate` does.

Stopped at any point nothing is lost: every key that ever sealed is among them.
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

from resolver.cli.children import Part, start_child, stop_child
from resolver.cli.dev_keys import MasterKeys
from resolver.cli.terminal import say
from resolver.demo.dev_control import DevControl

_RELOAD_SECONDS = 30
_ROTATE = (sys.executable, "-m", "resolver", "keys", "rotate", "--json")


@dataclass(frozen=True, slots=True)
class Rotation:
    keys: MasterKeys
    dev_control: DevControl
    web: Part
    worker: Part
    url: str
    variables: Mapping[str, str]

    def if_wanted(self) -> None:
        if not self.dev_control.is_rotation_wanted():
            return
        try:
            self._rotate()
        except (OSError, TimeoutError, subprocess.SubprocessError) as error:
            say(f"The keys were not rotated to the end; nothing is lost. ({error})", err=True)
        finally:
            self.dev_control.rotation_is_over()

    def _rotate(self) -> None:
        label = self.keys.add_second()
        self._reload()
        self.keys.put_first(label)
        self._reload()
        _reseal(self.variables)

    def _reload(self) -> None:
        """Until no process is left that has read the keys before."""
        before = self._serving()
        if before is None:
            raise TimeoutError("the web process did not answer")
        self.web.process.send_signal(signal.SIGHUP)
        self.worker.restart()
        gives_up_at = time.monotonic() + _RELOAD_SECONDS
        while _is_there(before) or self._serving() is None:
            if time.monotonic() > gives_up_at:
                raise TimeoutError("the web process did not restart")
            time.sleep(0.1)

    def _serving(self) -> int | None:
        """The process that answers for the web; there is one at a time."""
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
