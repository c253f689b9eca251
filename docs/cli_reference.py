"""Writes docs/cli.md from the commands themselves: `make docs`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TextIO

import click

from resolver.cli import main as resolver

_HEAD = """\
# Commands

`make docs` writes this page from the commands themselves, and a test compares the two.

- Commands read their settings from the environment ([configuration](configuration.md)). `dev` makes its own;
  `keys new` and `split` need none, and neither does a `verify` with `--public-key`.
- Exit status 2 is a wrong option or argument, 1 anything else that failed, unless a command says otherwise.
- Every command has `--help`. With `--json` a command prints JSON, for scripts.
"""


def page() -> str:
    commands = list(_walk(resolver, "resolver"))
    contents = [
        f"- [`{path}`](#{path.replace(' ', '-')}): {_summary(command)}" for path, command in commands[1:]
    ]
    return "\n".join((_HEAD, *contents, *(_section(path, command) for path, command in commands[1:])))


def _walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(command.commands[name], f"{path} {name}")


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).rstrip(".")


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join((path, *command.collect_usage_pieces(context)))
    paragraphs = "\n\n".join(textwrap.fill(part, 120) for part in _help(command).split("\n\n"))
    return "\n".join((f"\n## {path}\n\n```text\n{usage}\n```\n\n{paragraphs}", *_table(command, context)))


def _table(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for option in command.get_params(context)
        if isinstance(option, click.Option) and "--help" not in option.opts
        if (record := option.get_help_record(context))
    ]
    if records:
        yield "\n| Option | What it does |\n|---|---|"
    for name, text in records:
        yield f"| `{_cell(name)}` | {_cell(text)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


@click.command()
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True), default="-")
def main(file: TextIO) -> None:
    """Write the page to FILE, or to standard output."""
    file.write(page() + "\n")


if __name__ == "__main__":
    main()
