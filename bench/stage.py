"""What every scenario is given: where to work, how long, and whom it can compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from bench import sides
from bench.postgres import LocalPostgres, NoPostgres
from bench.rounds import Run, in_turn
from resolver.cli.terminal import progress_bar

JSON = dict[str, Any]


@dataclass
class Stage:
    folder: Path
    rounds: int
    seconds: float
    large: bool
    wanted: Callable[[str], bool]
    """Whether this scenario was asked for."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Sides that can't run here, and why."""
    scenarios: list[JSON] = field(default_factory=list)
    figures: dict[str, JSON] = field(default_factory=dict)
    """What has no sides: by name."""

    def compare(self, name: str, runs: Mapping[str, Run]) -> None:
        with progress_bar() as progress:
            samples = in_turn(runs, self.rounds, self.seconds, self._bar(progress, name, len(runs)))
        self.scenarios.append({"name": name, "sides": samples})

    def room(self, name: str) -> Path:
        """A folder of its own."""
        found = self.folder / name.replace(" ", "-")
        found.mkdir(parents=True, exist_ok=True)
        return found

    @contextmanager
    def postgres(self) -> Iterator[LocalPostgres | None]:
        """None where there is none; the result says why."""
        with ExitStack() as stack:
            try:
                server = stack.enter_context(sides.postgres())
            except NoPostgres as reason:
                self.left_out[sides.VELT_PY] = str(reason)
                yield None
                return
            yield server

    def _bar(self, progress: Progress, name: str, sides: int) -> Callable[[], None]:
        task = progress.add_task(name, total=sides * (self.rounds + 1))
        return lambda: progress.advance(task)
