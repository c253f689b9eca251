"""`resolver privacy export`, and what the privacy commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resolver import clock
from resolver.cli.audit import FILES
from resolver.cli.auditing import audit_command, operator
from resolver.cli.terminal import counted, progress_bar, say, say_json
from resolver.config import load
from resolver.privacy.erasure_request import ErasureRequest, Problem, new_id
from resolver.privacy.export import Export, audit_entries
from resolver.privacy.people import Subject
from resolver.validation.fields import LONGEST_ID
from resolver.wiring import build_stores

JSON = dict[str, Any]
_MESSAGES = {
    Problem.INVALID_NAME: (
        f"User ids, addresses and organizations have 1 to {LONGEST_ID} characters of valid Unicode."
    ),
    Problem.WHOLE_WITH_PEOPLE: (
        "--organization erases everything of it: don't combine it with --user, --email or --mentioning."
    ),
    Problem.VELT_NEEDS_USERS: "--velt-user-data requires --user: Velt knows people only by their ids.",
    Problem.MENTION_WITHOUT_WORD: "--mentioning requires a name with a word in it.",
}


@click.group()
def privacy() -> None:
    """Export and erase what is stored about a person."""


@privacy.command("export")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option(
    "--org",
    "organizations",
    multiple=True,
    help="Only in this organization. Repeat for several. Without it, in all organizations.",
)
@click.option("--audit", "trails", multiple=True, type=FILES, help="A file of the audit trail to search too.")
def export(
    users: tuple[str, ...], emails: tuple[str, ...], organizations: tuple[str, ...], trails: tuple[Path, ...]
) -> None:
    """Print everything that is stored about a person, one JSON object per line (redirect it to a file). Other
    people's ids, names and addresses are cut out; free text is shown as it is. The last line says whether the
    export is complete. Exit status 1 if records don't open or lines of the trail can't be parsed."""
    request = ErasureRequest(new_id(), operator(), clock.now(), users, emails, organizations=organizations)
    ensure_valid(request, "--user or --email is required")
    settings = load()
    stores = build_stores(settings)
    audit_command(
        settings, stores, "privacy export", "", list(map(stores.keyspace.pseudonym, request.names()))
    )
    unparsed = _show_audit(trails, request.subject)
    last: JSON = {}
    with progress_bar() as progress:
        bar = progress.add_task("Looking", total=2 * stores.erasure_store.size())
        for found in Export(stores.store, stores.outbox, stores.erasure_store, stores.revocations)(
            request.subject, frozenset(organizations)
        ):
            progress.advance(bar)
            if found:
                last = found
                say_json(found, ascii_only=False)
    say(f"{counted(last['found'], 'object')} exported.", err=True)
    if not last["complete"]:
        closed = counted(last["unreadable"], "record does", "records do")
        raise click.ClickException(f"{closed} not open: the export may be incomplete.")
    if unparsed:
        lines = counted(unparsed, "line of the audit trail", "lines of the audit trail")
        raise click.ClickException(f"{lines} can't be parsed: the export may be incomplete.")


def _show_audit(trails: tuple[Path, ...], subject: Subject) -> int:
    """Print the audit entries about the subject. Return how many entries can't be parsed."""
    unparsed = 0
    for path in trails:
        with path.open("rb") as lines:
            for found in audit_entries(lines, subject):
                if isinstance(found, int):
                    unparsed += 1
                    name = click.format_filename(path, shorten=True)
                    say(f"line {found} of {name} can't be parsed.", err=True)
                else:
                    say_json(found)
    return unparsed


def ensure_valid(request: ErasureRequest, without_subject: str) -> None:
    """Raise UsageError, in terms of the options, if a request is invalid."""
    if problem := request.problem():
        raise click.UsageError(_MESSAGES.get(problem, without_subject))
