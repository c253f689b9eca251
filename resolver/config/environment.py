"""Read environment variables, and collect all problems instead of stopping at the first."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from resolver.config.secret import Secret, is_weak

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_COMMAND_SECONDS = 15
_LARGEST_FILE = 64 * 1024
MADE_HERE = "as `resolver keys new` prints it"
_RANDOM = "`openssl rand -hex 32` prints one"


class Environment:
    """Typed access to variables. A value with a problem is read as its default: check `problems` after
    reading, before using any value."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.known: set[str] = set()
        self.problems: list[str] = []

    def problem(self, name: str, what: str) -> None:
        self.problems.append(f"{name}: {what}")

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self._variables if name.startswith(prefix))

    def text(self, name: str, default: str = "") -> str:
        self.known.add(name)
        return self._variables.get(name, "").strip() or default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        raw = self.text(name)
        if not raw:
            return default
        if re.fullmatch(r"[0-9]{1,9}", raw) and low <= int(raw) <= high:
            return int(raw)
        self.problem(name, f"must be a whole number from {low} to {high}")
        return default

    def choice(self, name: str, default: str, options: tuple[str, ...]) -> str:
        raw = self.text(name, default)
        if raw in options:
            return raw
        self.problem(name, f"must be one of {', '.join(options)}")
        return default

    def items(self, name: str, default: str = "") -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name, default).split(",") if part.strip())

    def url(self, name: str, default: str, *, https_only: bool) -> str:
        raw = self.text(name, default)
        if problem := url_problem(raw, https_only=https_only):
            self.problem(name, problem)
        return raw.rstrip("/")

    def endpoint(self, name: str, *, https_only: bool) -> str:
        """Read the URL of one service, unchanged: path and query belong to that service. Empty if not set."""
        raw = self.text(name)
        if raw and (problem := url_problem(raw, https_only=https_only, query=True)):
            self.problem(name, problem)
        return raw

    def long_text(self, name: str) -> str | None:
        """Read a text of several lines from NAME, or from the file that NAME_FILE names."""
        return self._secret_text(name)

    def secret(self, name: str, *, required: str = "", minimum: int = 0) -> Secret | None:
        """Read a secret from NAME, or from the file that NAME_FILE names. `required`: where to get one."""
        before = len(self.problems)
        value = self._secret_text(name)
        if value is None:
            if required and len(self.problems) == before:
                self._missing(name, required)
            return None
        if not is_printable(value):
            self.problem(name, "contains characters that HTTP headers can't carry")
            return None
        if minimum and is_weak(value.encode(), minimum):
            self.problem(name, f"is too weak: at least {minimum} bytes, not all equal ({_RANDOM})")
        return Secret.of(value)

    def named_secrets(self, name: str, *, required: str, minimum: int) -> dict[str, Secret]:
        """Read `name:secret,name:secret`."""
        found: dict[str, Secret] = {}
        for label, value in self._pairs(name, required=required):
            if is_weak(value.encode(), minimum):
                self.problem(
                    name, f"secret {len(found) + 1} is too weak: at least {minimum} characters ({_RANDOM})"
                )
            found[label] = Secret.of(value)
        return found

    def named_keys(self, name: str) -> dict[str, Secret]:
        """Read `id:base64,id:base64` in order: the first key seals."""
        return {
            label: Secret(self._key_bytes(name, value, f" {position}"))
            for position, (label, value) in enumerate(
                self._pairs(name, required=MADE_HERE, command=True), start=1
            )
        }

    def key(self, name: str) -> Secret:
        found = self.secret(name, required=MADE_HERE)
        return Secret(self._key_bytes(name, found.reveal(), "") if found else b"")

    def keys(self, name: str) -> tuple[Secret, ...]:
        """Read `base64,base64` in order: the first key is the current one."""
        found = self.secret(name, required=MADE_HERE)
        parts = found.reveal().split(",") if found else []
        which = (f" {position}" if len(parts) > 1 else "" for position in range(1, len(parts) + 1))
        return tuple(
            Secret(self._key_bytes(name, part.strip(), of)) for part, of in zip(parts, which, strict=True)
        )

    def _missing(self, name: str, source: str) -> None:
        self.problem(name, f"is required: {name}=… {source} (or {name}_FILE=… names a file with it)")

    def _pairs(self, name: str, *, required: str, command: bool = False) -> list[tuple[str, str]]:
        before = len(self.problems)
        text = self._secret_text(name, command=command)
        if not text:
            if required and len(self.problems) == before:
                self._missing(name, required)
            return []
        pairs: list[tuple[str, str]] = []
        for position, entry in enumerate((e.strip() for e in text.split(",")), start=1):
            label, colon, value = entry.partition(":")
            if not (colon and is_printable(value) and re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", label)):
                # Name only the position: the entry itself may be a secret.
                self.problem(name, f"entry {position} is not of the form name:secret, such as backend:…")
            elif any(label == seen for seen, _ in pairs):
                self.problem(
                    name,
                    f"entry {position} has the name of an earlier entry: choose another name",
                )
            else:
                pairs.append((label, value))
        return pairs

    def _key_bytes(self, name: str, text: str, which: str) -> bytes:
        try:
            key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32 or is_weak(key, 32):
            self.problem(name, f"the key{which} must be 32 random bytes in base64 (`resolver keys new`)")
        return key

    def _secret_text(self, name: str, *, command: bool = False) -> str | None:
        sources = [name, f"{name}_FILE", *([f"{name}_COMMAND"] if command else [])]
        given = [source for source in sources if self.text(source)]
        if len(given) > 1:
            self.problem(name, f"is given more than once ({', '.join(given)})")
        if not given:
            return None
        if given[0].endswith("_FILE"):
            return self._from_file(given[0])
        if given[0].endswith("_COMMAND"):
            return self._from_command(given[0])
        return self.text(given[0])

    def _from_file(self, name: str) -> str | None:
        path = Path(self.text(name))
        try:
            # Reading a pipe or a device might block forever.
            if path.is_file() and path.stat().st_size <= _LARGEST_FILE:
                if text := path.read_text(encoding="utf-8").rstrip("\r\n"):
                    return text
                self.problem(name, "the file it names is empty")
                return None
        except (OSError, UnicodeDecodeError, ValueError):
            pass
        self.problem(name, "the file it names cannot be read, or is not a small text file")
        return None

    def _from_command(self, name: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, never a caller's
                shlex.split(self.text(name)), capture_output=True, timeout=_COMMAND_SECONDS, check=True
            )
            return done.stdout.decode().strip() or None
        except (OSError, ValueError, subprocess.SubprocessError):
            # Show neither output nor errors: both may contain the keys.
            self.problem(name, "the command failed or printed nothing usable")
            return None


def is_printable(value: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value) is not None


def url_problem(url: str, *, https_only: bool, query: bool = False) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host or not is_printable(url) or " " in url:
        return "must be an http(s) URL"
    if parts.username or parts.password or parts.fragment or (parts.query and not query):
        return "must be a plain URL without credentials, query or fragment"
    if https_only and parts.scheme != "https" and host not in LOOPBACK:
        return "must be https in production"
    return None
