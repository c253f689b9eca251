"""`resolver privacy`: what people may ask for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from resolver.cli.on_record import on_record
from resolver.privacy.export import Export, audit_entries
from resolver.privacy.people import Subject
from resolver.services import build_stores
from resolver.settings import load

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def privacy() -> None:
    """What is held about somebody."""


@privacy.command("export")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option("--org", "organizations", multiple=True, help="In these alone; else in all.")
@click.option(
    "--audit", "trails", multiple=True, type=_FILES, help="A file of the audit trail, to look in too."
)
def export(
    users: tuple[str, ...], emails: tuple[str, ...], organizations: tuple[str, ...], trails: tuple[Path, ...]
) -> None:
    """Print everything that is held about somebody, one JSON object a line (redirect it to a file). Other
    people's ids, names and addresses are cut out; free text is shown as it is. Exit status 1 when records
    don't open."""
    if not users and not emails:
        raise click.UsageError("Name somebody, by --user or --email.")
    settings = load()
    stores = build_stores(settings)
    on_record(settings, stores, "privacy export", "", [*users, *emails])
    subject = Subject(frozenset(users), frozenset(map(str.lower, emails)))
    found = 0
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("Looking", total=2 * stores.redis.dbsize())
        for item in Export(stores.vault, stores.outbox)(subject, frozenset(organizations)):
            progress.advance(bar)
            if item:
                found += 1
                click.echo(json.dumps(item, ensure_ascii=False))
    for path in trails:
        with path.open("rb") as lines:
            for entry in audit_entries(lines, subject.users):
                click.echo(json.dumps(entry, ensure_ascii=False))
    click.echo(f"{found} things are held.", err=True)
    if stores.vault.unreadable:
        raise click.ClickException(f"{stores.vault.unreadable} records do not open: this may not be all.")
