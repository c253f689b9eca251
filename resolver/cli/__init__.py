"""The `resolver` command."""

from __future__ import annotations

import click

from resolver import __version__
from resolver.cli.audit import audit
from resolver.cli.certificates import replay, verify
from resolver.cli.check import check
from resolver.cli.dev import dev
from resolver.cli.erase import erase
from resolver.cli.erase import status as erasure_status
from resolver.cli.evidence import evidence
from resolver.cli.keys import keys
from resolver.cli.notifications import explain, inspect, split
from resolver.cli.outbox import outbox
from resolver.cli.privacy import privacy
from resolver.cli.reindex import reindex
from resolver.cli.serve import serve
from resolver.cli.terminal import printable
from resolver.cli.tokens import token, tokens
from resolver.cli.worker import worker
from resolver.cli.workspace import workspace
from resolver.errors import ResolverError


class _Main(click.Group):
    """Print our own errors as messages with exit status 1, never as a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ResolverError as error:
            reason = getattr(error, "reason", "")
            raise click.ClickException(_lines(f"{error} ({reason})" if reason else str(error))) from None
        except click.ClickException as error:
            error.message = _lines(error.message)  # type: ignore[misc]  # Final to subclasses
            raise


def _lines(message: str) -> str:
    """Escape each line of a message. Names in it were escaped before, so they hold no line breaks."""
    return "\n".join(map(printable, message.split("\n")))


@click.group(cls=_Main)
@click.version_option(__version__, prog_name="resolver")
def main() -> None:
    """Self-hosted notification resolver for Velt: content stays in your Redis, Velt gets identifiers."""


for command in (
    dev,
    serve,
    worker,
    check,
    keys,
    token,
    tokens,
    split,
    inspect,
    explain,
    outbox,
    audit,
    privacy,
    evidence,
    workspace,
):
    main.add_command(command)
for command in (erase, erasure_status, verify, replay):
    privacy.add_command(command)
keys.add_command(reindex)
