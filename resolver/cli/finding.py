"""A finding of `resolver check`."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from resolver.cli.terminal import say, say_parts

JSON = dict[str, Any]
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    outcome: Literal["ok", "warn", "fail"]
    about: str
    text: str
    shown: JSON | None = None
    """Data that proves it."""

    def as_json(self) -> JSON:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def mask(self, secrets: Collection[str]) -> Finding:
        """Replace secrets: another service's message may quote what it received."""
        return replace(self, text=_masked(self.text, secrets), shown=_masked(self.shown, secrets))

    def print(self) -> None:
        say_parts((f"{self.outcome:4}", _COLOURS[self.outcome]), (f"{self.about}: {self.text}", None))
        if self.shown is not None:
            say(*(f"        {line}" for line in json.dumps(self.shown, indent=2).split("\n")))


def _masked(value: Any, secrets: Collection[str]) -> Any:
    match value:
        case str():
            for secret in secrets:
                value = value.replace(secret, "…")
            return value
        case dict():
            return {_masked(name, secrets): _masked(inner, secrets) for name, inner in value.items()}
        case list():
            return [_masked(inner, secrets) for inner in value]
        case _:
            return value
