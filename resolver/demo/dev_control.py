"""Requests from the demo page to `resolver dev`, which runs all processes: files in its folder."""

from __future__ import annotations

from pathlib import Path

_ROTATION = "rotation-wanted"


class DevControl:
    """Requests in the state folder of `resolver dev`, which only this user can write to."""

    def __init__(self, folder: Path) -> None:
        self._rotation = folder / _ROTATION

    def request_rotation(self) -> None:
        self._rotation.touch(mode=0o600)

    def is_rotation_requested(self) -> bool:
        """True until the rotation is done."""
        return self._rotation.exists()

    def clear_rotation(self) -> None:
        self._rotation.unlink(missing_ok=True)
