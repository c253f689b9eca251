"""The `resolver` command."""

from __future__ import annotations

import click

from resolver import __version__
from resolver.cli.adopt import adopt
from resolver.cli.audit import audit
from resolver.cli.audit_verify import verify as verify_trail
from resolver.cli.certificates import replay, verify
from resolver.cli.check import check
from resolver.cli.dev import dev
from resolver.cli.erase import erase
from resolver.cli.erasure_status import status as erasure_status
from resolver.cli.evidence import evidence
from resolver.cli.keys import keys
from resolver.cli.notifications import explain, inspect, split, token
from resolver.cli.outbox import outbox
from resolver.cli.privacy import privacy
from resolver.cli.reindex import reindex
from resolver.cli.serve import serve
from resolver.cli.terminal import printable
from resolver.cli.tokens import tokens
from resolver.cli.worker import worker
from resolver.cli.workspace import workspace
from resolver.errors import ResolverError


class _Main(click.Group):
    """Our own errors as one clear line (or list) and exit status 1, never as a traceback."""

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
    """Its line breaks are ours: names in it are made printable where they are put in."""
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
audit.add_command(verify_trail)
for command in (reindex, adopt):
    keys.add_command(command)
