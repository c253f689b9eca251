"""The guides in docs/, as a reader follows them: what is typed, what is saved as a file, what must be shown.

A block of `sh`, `python` or `js` is run, and one of `text` or `json` after it is what it prints, where `…`
stands for anything. A block that begins with a comment of nothing but a file's name is that file. Blocks of
any other language are there to be read.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?:^<!-- ([a-z -]+) -->\n)?^```([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:# |// |<!-- )([\w-]+\.\w+)(?: -->)?\n")
_RUN = ("sh", "python", "js")
_SHOWN = ("text", "json")
_DONE = "--- done ---"


class Block(NamedTuple):
    language: str
    text: str
    marker: str
    """The instruction to the test in the comment before the block, which readers don't see."""
    line: int

    @property
    def kind(self) -> str:
        return self.marker or self.language

    @property
    def file(self) -> str | None:
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks(page: str) -> list[Block]:
    """Return all blocks of a page in `docs/`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [
        Block(match[2], match[3], match[1] or "", text.count("\n", 0, match.start(2)) + 1)
        for match in _BLOCK.finditer(text)
    ]


def shows(expected: str, printed: str) -> bool:
    """Whether the text appears in what was printed. White space doesn't count, since a guide breaks its
    lines."""
    pattern = ".*".join(re.escape(_without_spaces(part)) for part in expected.split("…"))
    return re.fullmatch(pattern, _without_spaces(printed), re.DOTALL) is not None


def _without_spaces(text: str) -> str:
    return re.sub(r"\s", "", text)


@dataclass
class Step:
    """A block to run, and what it must print, if the guide says so."""

    block: Block
    shown: str = ""


def steps(page: str) -> Iterator[Step]:
    """Yield the steps of a reader, in order."""
    step = None
    for block in blocks(page):
        if block.language in _SHOWN and not block.marker:
            if step:
                step.shown += block.text
            continue
        if step:
            yield step
        step = _step(block)
    if step:
        yield step


def _step(block: Block) -> Step | None:
    """Make a step. A marked block of output is a step by itself: the reader looks somewhere else."""
    if block.language in _SHOWN:
        return Step(block, block.text)
    return Step(block) if block.language in _RUN or block.file else None


class Terminal:
    """One shell, into which a reader types one block after the other."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._logs = folder.parent
        self._shell = subprocess.Popen(
            ["sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=dict(env),
            start_new_session=True,
        )
        # The shell ends when this process does, however that ends, and then ends what it has started.
        self.type("trap '[ -z \"$started\" ] || kill $started; wait' EXIT")

    def type(self, script: str) -> str:
        """Run a block, and return what it prints. A script that fails says so at the end."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f'{{ {script}\n}} </dev/null\necho "$?{_DONE}"\n')
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            if line.endswith(f"{_DONE}\n"):
                printed += line.removesuffix(f"{_DONE}\n").removesuffix("0")
                return printed
            printed += line
        raise AssertionError(f"the shell ended: {printed}")

    def start(self, command: str) -> Path:
        """Start a command that keeps running, as in another terminal, with its output in the returned
        file."""
        log = self._logs / f"{command.rsplit(maxsplit=1)[-1]}.log"
        log.touch()
        self.type(f'exec {command} >{log} 2>&1 & started="$started $!"')
        return log

    def folder(self) -> Path:
        return Path(self.type("pwd").strip())

    def close(self) -> None:
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.close()
        self._shell.wait(30)
        self._shell.stdout.close()
