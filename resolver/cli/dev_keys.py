"""The secrets of `resolver dev`: made at its first run and kept, so that what was sealed yesterday still
opens today.

The master keys have a file of their own, which every process reads when it starts: so they can be rotated
while all runs, and commands in other terminals have the right ones. In `dev.env` are those to begin with.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from resolver.cli.keys import fresh_secrets

_MASTER_KEYS = "RESOLVER_MASTER_KEYS"
_FILE = f"{_MASTER_KEYS}_FILE"
_SOURCES = (_MASTER_KEYS, _FILE, f"{_MASTER_KEYS}_COMMAND")


class MasterKeys:
    """The first seals, every one opens. None is ever taken out, and no reader finds half a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, keys: str) -> None:
        """Those to begin with; later they are what the file says."""
        if not self._file.exists():
            _write(self._file, keys)

    def add_second(self) -> str:
        """A fresh one, that opens and doesn't seal yet: its id."""
        first, *others = self._read()
        label = self._new_label([first, *others])
        self._write([first, f"{label}:{base64.b64encode(secrets.token_bytes(32)).decode()}", *others])
        return label

    def put_first(self, label: str) -> None:
        self._write(sorted(self._read(), key=lambda pair: _label(pair) != label))

    def _read(self) -> list[str]:
        return [pair.strip() for pair in self._file.read_text(encoding="utf-8").split(",")]

    def _write(self, pairs: list[str]) -> None:
        _write(self._file, ",".join(pairs))

    def _new_label(self, pairs: list[str]) -> str:
        labels, number = set(map(_label, pairs)), len(pairs) + 1
        day = datetime.now(UTC).strftime("k%Y%m%d")
        while f"{day}-{number}" in labels:
            number += 1
        return f"{day}-{number}"


def kept_secrets(state: Path, given: Mapping[str, str]) -> dict[str, str]:
    """As variables, without those that are `given` otherwise."""
    kept = _in_file(state / "dev.env")
    first = kept.pop(_MASTER_KEYS, "")
    if first and not any(given.get(name) for name in _SOURCES):
        file = _master_keys_of(state)
        MasterKeys(file).keep(first)
        kept[_FILE] = str(file)
    return {name: value for name, value in kept.items() if not given.get(f"{name}_FILE")}


def rotated_here(variables: Mapping[str, str], state: Path) -> MasterKeys | None:
    """The master keys, when they are those that are kept in this folder."""
    file = _master_keys_of(state)
    return MasterKeys(file) if variables.get(_FILE) == str(file) else None


def _master_keys_of(state: Path) -> Path:
    return state.absolute() / "master-keys"


def _in_file(file: Path) -> dict[str, str]:
    """With what an earlier version didn't know of yet."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = dict(line.split("=", 1) for line in lines if "=" in line)
    fresh = {} if kept else {**fresh_secrets(), "VELT_AUTH_TOKEN": secrets.token_urlsafe(32)}
    fresh["RESOLVER_PRIVACY_TOKENS"] = f"demo:{secrets.token_urlsafe(32)}"
    if missing := {name: value for name, value in fresh.items() if name not in kept}:
        _write(file, "\n".join([*lines, *(f"{name}={value}" for name, value in missing.items())]))
    return {**missing, **kept}


def _write(file: Path, text: str) -> None:
    """For this user alone, and whole or not at all."""
    beside = file.with_name(f"{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(f"{text}\n")
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(file)


def _label(pair: str) -> str:
    return pair.partition(":")[0].strip()
