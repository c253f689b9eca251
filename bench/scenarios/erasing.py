"""Erasing one person among a million. Only with `--large`."""

from __future__ import annotations

from bench.erasure import erased
from bench.stage import Stage

ERASE = "erase"
MANY = 1_000_000


def run(stage: Stage) -> None:
    if stage.large and stage.wanted(ERASE):
        stage.figures[ERASE] = erased(MANY)
