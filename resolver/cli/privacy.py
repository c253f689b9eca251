"""`resolver privacy`: what people may ask for."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from resolver.cli.on_record import on_record
from resolver.outbox.rewriting import Rewriting
from resolver.privacy.erase import Done, Erase, Request, counted
from resolver.privacy.export import Export, audit_entries
from resolver.privacy.people import Subject
from resolver.services import build_stores
from resolver.settings import load

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def privacy() -> None:
    """What is held about somebody."""


@privacy.command("erase")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option("--org", "organizations", multiple=True, help="In these alone; else in all.")
@click.option("--whole-organization", is_flag=True, help="All that those organizations have.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def erase(  # noqa: PLR0913, PLR0917 - a command's options
    users: tuple[str, ...],
    emails: tuple[str, ...],
    organizations: tuple[str, ...],
    whole_organization: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take somebody out of everything that is held. What they did, or what was sent to them alone, goes; out
    of the rest they are cut. Velt is told by the worker. Stopped half-way, run it again. Free text isn't
    searched."""
    if whole_organization is bool(users or emails) or (whole_organization and not organizations):
        raise click.UsageError("Name somebody by --user or --email, or --whole-organization with --org.")
    settings = load()
    stores = build_stores(settings)
    what = ", ".join([*users, *emails]) or f"all of {', '.join(organizations)}"
    if not yes:
        click.confirm(f"Erase {what}?", abort=True)
    on_record(settings, stores, "privacy erase", "", [*users, *emails, *organizations])
    subject = None if whole_organization else Subject(frozenset(users), frozenset(map(str.lower, emails)))
    rewriting = Rewriting(stores.redis, stores.vault.guard, stores.envelope, stores.outbox)
    outcomes: Counter[Done] = Counter()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("Erasing", total=stores.redis.dbsize())
        for done in Erase(stores.vault, rewriting)(Request(subject, frozenset(organizations))):
            outcomes[done] += 1
            progress.advance(bar)
    spoken = ", ".join(f"{number} {done}" for done, number in outcomes.items()) or "Nothing is held."
    click.echo(json.dumps(counted(outcomes)) if as_json else spoken)
    if stores.vault.unreadable:
        raise click.ClickException(f"{stores.vault.unreadable} records do not open, and weren't looked into.")


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
