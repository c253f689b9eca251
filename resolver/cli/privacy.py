"""`resolver privacy export`: what is held about somebody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resolver import clock
from resolver.cli.meant import ensure_meant
from resolver.cli.on_record import on_record, operator
from resolver.cli.progress import progress_bar
from resolver.cli.terminal import say, say_json
from resolver.cli.trail_files import FILES
from resolver.cli.words import counted
from resolver.config import load
from resolver.privacy.erasure_request import ErasureRequest, new_id
from resolver.privacy.export import Export, audit_entries
from resolver.privacy.people import Subject
from resolver.wiring import build_stores

JSON = dict[str, Any]


@click.group()
def privacy() -> None:
    """Export and erase what is held about a person."""


@privacy.command("export")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option(
    "--org",
    "organizations",
    multiple=True,
    help="Only in this organization. Repeat for several. Without it, in all.",
)
@click.option("--audit", "trails", multiple=True, type=FILES, help="A file of the audit trail to search too.")
def export(
    users: tuple[str, ...], emails: tuple[str, ...], organizations: tuple[str, ...], trails: tuple[Path, ...]
) -> None:
    """Print everything that is held about a person, one JSON object a line (redirect it to a file). Other
    people's ids, names and addresses are cut out; free text is shown as it is. The last line says whether it
    is all; exit status 1 when records don't open, or lines of the trail don't read."""
    order = ErasureRequest(new_id(), operator(), clock.now(), users, emails, organizations=organizations)
    ensure_meant(order, "--user or --email is required")
    settings = load()
    stores = build_stores(settings)
    on_record(settings, stores, "privacy export", "", list(map(stores.keyspace.pseudonym, order.names())))
    odd = _show_audit(trails, order.subject)
    last: JSON = {}
    with progress_bar() as progress:
        bar = progress.add_task("Looking", total=2 * stores.erasure_store.size())
        for found in Export(stores.store, stores.outbox, stores.erasure_store, stores.revocations)(
            order.subject, frozenset(organizations)
        ):
            progress.advance(bar)
            if found:
                last = found
                say_json(found, ascii_only=False)
    say(f"{counted(last['found'], 'thing is', 'things are')} held.", err=True)
    if not last["complete"]:
        closed = counted(last["unreadable"], "record does", "records do")
        raise click.ClickException(f"{closed} not open: this may not be all.")
    if odd:
        lines = counted(odd, "line of the audit trail does", "lines of the audit trail do")
        raise click.ClickException(f"{lines} not read: this may not be all.")


def _show_audit(trails: tuple[Path, ...], subject: Subject) -> int:
    """What the trail says of them; how many of its lines don't read."""
    odd = 0
    for path in trails:
        with path.open("rb") as lines:
            for found in audit_entries(lines, subject):
                if isinstance(found, int):
                    odd += 1
                    name = click.format_filename(path, shorten=True)
                    say(f"line {found} of {name} does not read.", err=True)
                else:
                    say_json(found)
    return odd
