"""The secrets of `resolver dev` in its state folder, kept between runs, and the file for other terminals.

Master keys have a file of their own, which every process reads at start. So they can be rotated while
everything runs, and commands in other terminals have the current ones. `dev.env` holds only the first.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from resolver.cli.keys import fresh_secrets

_MASTER_KEYS = "RESOLVER_MASTER_KEYS"
_FILE = f"{_MASTER_KEYS}_FILE"
_SOURCES = (_MASTER_KEYS, _FILE, f"{_MASTER_KEYS}_COMMAND")
_OURS = ("RESOLVER_", "VELT_", "REDIS_URL")


class MasterKeys:
    """The file of master keys: the first key seals, all keys open. Keys are never removed, and writes are
    atomic."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, keys: str) -> None:
        """Write the first keys unless the file exists."""
        if not self._file.exists():
            _write(self._file, keys)

    def add_second(self) -> str:
        """Add a new key in second place, where it opens but doesn't seal. Return its id."""
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


def stored_secrets(state: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the stored secrets as variables, except those that are `given` otherwise."""
    kept = _in_file(state / "dev.env")
    first = kept.pop(_MASTER_KEYS, "")
    if first and not any(given.get(name) for name in _SOURCES):
        file = _master_keys_of(state)
        MasterKeys(file).keep(first)
        kept[_FILE] = str(file)
    return {name: value for name, value in kept.items() if not given.get(f"{name}_FILE")}


def managed_master_keys(variables: Mapping[str, str], state: Path) -> MasterKeys | None:
    """Return the master keys if the settings use this folder's file."""
    file = _master_keys_of(state)
    return MasterKeys(file) if variables.get(_FILE) == str(file) else None


def _master_keys_of(state: Path) -> Path:
    return state.absolute() / "master-keys"


def _in_file(file: Path) -> dict[str, str]:
    """Read the stored secrets, and add those that an earlier version didn't have."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = dict(line.split("=", 1) for line in lines if "=" in line)
    fresh = {} if kept else {**fresh_secrets(), "VELT_AUTH_TOKEN": secrets.token_urlsafe(32)}
    fresh["RESOLVER_SIGNING_KEY"] = fresh_secrets()["RESOLVER_SIGNING_KEY"]
    fresh["RESOLVER_PRIVACY_TOKENS"] = f"demo:{secrets.token_urlsafe(32)}"
    if missing := {name: value for name, value in fresh.items() if name not in kept}:
        _write(file, "\n".join([*lines, *(f"{name}={value}" for name, value in missing.items())]))
    return {**missing, **kept}


def _write(file: Path, text: str) -> None:
    """Write a file atomically, readable only by this user."""
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


@contextmanager
def commands_file(file: Path, variables: Mapping[str, str], more: Mapping[str, str]) -> Iterator[str]:
    """Write the settings of a running `resolver dev` to a file that another terminal can source; yield the
    command for that. The file holds secrets: only this user can read it, and it is removed at the end.

    `more`: variables besides our own settings.
    """
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in _lines(variables, more))
    try:
        yield f". {quote(str(file) if file.is_absolute() else f'./{file}')}"
    finally:
        file.unlink(missing_ok=True)


def _lines(variables: Mapping[str, str], more: Mapping[str, str]) -> Iterator[str]:
    ours = {name: value for name, value in variables.items() if name.startswith(_OURS)}
    for name, value in sorted({**ours, **more}.items()):
        yield f"export {name}={quote(value)}"
    # The virtual environment of `make run` is not on the user's path.
    yield f'export PATH={quote(str(Path(sys.executable).parent))}:"$PATH"'
