"""What the demo page wants and only `resolver dev` can do, which runs all processes: a file to find."""

from __future__ import annotations

from pathlib import Path

_ROTATION = "rotation-wanted"


class DevControl:
    """In the folder where `resolver dev` keeps its keys, which nobody else may write to."""

    def __init__(self, folder: Path) -> None:
        self._rotation = folder / _ROTATION

    def want_rotation(self) -> None:
        self._rotation.touch(mode=0o600)

    def is_rotation_wanted(self) -> bool:
        """Until it is done."""
        return self._rotation.exists()

    def rotation_is_over(self) -> None:
        self._rotation.unlink(missing_ok=True)
