"""`deploy/systemd/`, as systemd reads it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.deploy.process import DEPLOY, Process

SYSTEMD = DEPLOY / "systemd"
UNITS = ("velt-resolver.service", "velt-resolver-worker.service")


def unit(name: str) -> list[tuple[str, str]]:
    """Parse a unit. A directive may occur many times."""
    lines = (SYSTEMD / name).read_text().splitlines()
    return [
        (key, value)
        for key, is_one, value in (line.partition("=") for line in lines if line[:1] != "#")
        if is_one
    ]


def directives(name: str, wanted: str) -> list[str]:
    return [value for key, value in unit(name) if key == wanted]


def under_systemd() -> Iterator[Process]:
    for name in UNITS:
        given = (SYSTEMD / "environment").read_text().splitlines()
        pairs = [line for line in given if line[:1] != "#"] + directives(name, "Environment")
        (command,) = directives(name, "ExecStart")
        (seconds,) = directives(name, "TimeoutStopSec")
        environment = dict(pair.split("=", 1) for pair in pairs)
        yield Process(f"systemd {name}", command.split()[1], environment, int(seconds))
