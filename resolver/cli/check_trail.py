"""Where the audit trail of this deployment goes, as `resolver check` sees it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resolver.audit.sink import STANDARD
from resolver.cli.audit_verify import checkpoints_in
from resolver.cli.finding import Finding
from resolver.cli.trail_files import chains_in
from resolver.cli.words import counted
from resolver.config import Settings
from resolver.wiring import build_stores


def trail(settings: Settings) -> Iterator[Finding]:
    """Lines that a command with other settings keeps elsewhere are missed by `audit verify`."""
    if settings.audit_log == STANDARD:
        yield Finding("ok", "audit", "goes to standard output, and of commands to standard error: keep both")
        return
    recent = {
        name for name, kept in checkpoints_in(build_stores(settings)).items() if kept.at >= _yesterday()
    }
    try:
        elsewhere = recent - _kept_in(Path(settings.audit_log))
    except OSError as error:
        # What can't be put on record isn't done: every request will be refused.
        yield Finding("fail", "audit", f"goes to {settings.audit_log}: {error.strerror}")
        return
    yield Finding("ok", "audit", f"goes to {settings.audit_log}")
    if elsewhere:
        processes = counted(len(elsewhere), "process", "processes")
        where = "a rotated file, another host's, or another RESOLVER_AUDIT_LOG"
        yield Finding(
            "ok",
            "audit",
            f"{processes} wrote elsewhere since yesterday: {where}. `audit verify` needs that too",
        )


def _kept_in(log: Path) -> set[str]:
    """None, before the first line: the file begins with it, in a directory that is there."""
    begun = log.exists()
    place = log if begun else log.parent
    place.stat()  # that it isn't there is another trouble than that it is closed
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, "this user may not write there")
    return chains_in(log) if begun else set()


def _yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()
