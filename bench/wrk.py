"""Load: wrk, told by `load.lua` what to send."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

JSON = dict[str, Any]
NEW_ID = "NEW-ID"
"""In a body: a fresh notification id each time it is sent."""
CONNECTIONS = 16
_SCRIPT = Path(__file__).with_name("load.lua")


class LoadFailed(Exception):
    """Answers other than 200 measure something else."""


@dataclass(frozen=True)
class Request:
    path: str
    body: JSON
    headers: Mapping[str, str]

    def line(self) -> bytes:
        headers = {"content-type": "application/json", **self.headers}
        fields = [self.path, orjson.dumps(self.body).decode(), *(part for h in headers.items() for part in h)]
        return "\t".join(fields).encode() + b"\n"


@dataclass(frozen=True)
class Load:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    """Requests without a success, if the caller counts them."""


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def write(path: Path, requests: Iterable[Request]) -> Path:
    with path.open("wb") as file:
        file.writelines(request.line() for request in requests)
    return path


def send(url: str, requests: Path, seconds: float, *, counts_failures: bool = False) -> Load:
    """Everything in the file, again and again, for so long. Raises LoadFailed when a request fails, unless
    failures are counted."""
    prefix = f"w{secrets.token_hex(6)}-"
    found = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{max(1, round(seconds))}s"),
            *("--timeout", "10s", "-s", str(_SCRIPT), url, "--", str(requests), prefix),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise LoadFailed(f"wrk: {found.stderr or found.stdout}")
    return parse(found.stdout, counts_failures=counts_failures)


def parse(output: str, *, counts_failures: bool = False) -> Load:
    said = next((line for line in reversed(output.splitlines()) if line.startswith('{"requests"')), None)
    if said is None:
        raise LoadFailed(f"wrk said nothing that can be read: {output}")
    counted = orjson.loads(said)
    failed = counted["refused"] + counted["broken"]
    if (failed and not counts_failures) or not counted["requests"]:
        raise LoadFailed(f"not every request was answered with success: {said}")
    return Load(
        requests=counted["requests"],
        seconds=counted["microseconds"] / 1e6,
        p50_ms=counted["p50"] / 1000,
        p99_ms=counted["p99"] / 1000,
        failed=failed,
    )
