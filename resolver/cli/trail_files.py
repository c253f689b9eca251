"""The files that an audit trail is kept in."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import click

from resolver.audit.verify import first_time
from resolver.config import load

FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_CHAIN = re.compile(rb'\{"audit":1,"chain":"([0-9a-f]{1,64})"')


def configured() -> Path:
    path = Path(load().audit_log)
    if not path.is_file():
        raise click.ClickException(
            "RESOLVER_AUDIT_LOG names no file: name the one that your logs are kept in."
        )
    return path


def in_order(files: tuple[Path, ...]) -> list[Path]:
    """As their processes began."""

    def began(path: Path) -> str:
        with path.open("rb") as lines:
            return first_time(lines)

    return sorted(files, key=began)


def chains_in(path: Path) -> set[str]:
    """Which chains have a line there. Of a pipe, which would keep us waiting, none."""
    if not stat.S_ISREG(path.stat().st_mode):
        return set()
    with path.open("rb") as lines:
        return {found[1].decode() for line in lines if (found := _CHAIN.match(line))}
