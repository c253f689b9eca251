"""`resolver privacy erase` and `status`: erase people or organizations, and follow erasures."""

from __future__ import annotations

import time
from typing import Any

import click

from resolver import clock
from resolver.cli.auditing import audit_command, open_trail, operator
from resolver.cli.options import IDENTIFIER
from resolver.cli.privacy import ensure_valid
from resolver.cli.terminal import counted, progress_bar, say, say_json
from resolver.config import Settings, load
from resolver.privacy.erasure_request import ErasureRequest, Phase, new_id
from resolver.privacy.erasures import TAMPERED
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.people import prose_in
from resolver.wiring import Stores, build_eraser, build_erasures, build_stores

JSON = dict[str, Any]
_POLL_SECONDS = 0.2
_STALLED_SECONDS = 20.0
"""How long to wait for Velt, or for another process, while nothing changes."""


@click.command("erase")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option(
    "--org",
    "organizations",
    multiple=True,
    help="Only in this organization. Repeat for several. Without it, in all organizations.",
)
@click.option("--organization", "wholes", multiple=True, help="Erase everything of this organization.")
@click.option(
    "--mentioning",
    "names",
    multiple=True,
    help="Also erase notifications with this name in their text; they are listed first.",
)
@click.option("--velt-user-data", is_flag=True, help="Have Velt delete all its data of these users.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts: the outcome as `privacy status` prints it."
)
def erase(**options: Any) -> None:
    """Erase a person or an organization. Notifications that the person caused, or that only they received,
    are removed; the person is cut out of all others. The worker sends the changes to Velt; then the erasure
    certificate is made. If this command is interrupted, a worker finishes the erasure. Free text is searched
    only with --mentioning."""
    request = _request(**{name: value for name, value in options.items() if name not in ("yes", "as_json")})
    ensure_valid(request, "--user, --email, --mentioning or --organization is required.")
    settings = load()
    stores = build_stores(settings)
    if request.mentioning:
        _list_mentions(stores, request)
    if not options["yes"]:
        click.confirm(f"Erase {_description(request)}?", abort=True, err=True)
    audit_command(
        settings, stores, "privacy erase", "", [request.id, *map(stores.keyspace.pseudonym, request.names())]
    )
    build_erasures(settings, stores).file(request)
    found = _carry_out(settings, stores, request)
    if options["as_json"]:
        say_json(found)
    else:
        print_erasure(found)
    _warn(found["counts"])


def _warn(counts: JSON) -> None:
    """Warn if nothing was found: after a misspelt id the erasure certificate looks like any other."""
    if not (counts["removed"] or counts["cut"] or counts["commands"]):
        say(
            "NOBODY WAS FOUND: nothing was removed or cut. Check the spelling: ids must match exactly, and "
            "an address matches only where it is stored; see `resolver privacy export`.",
            fg="yellow",
            bold=True,
            err=True,
        )
    if counts["unreadable"]:
        records = counted(counts["unreadable"], "record that doesn't open", "records that don't open")
        raise click.ClickException(f"Not examined: {records}.")


def _description(request: ErasureRequest) -> str:
    """Describe the request with the kind of each name: a name under the wrong option finds nothing."""
    if request.whole:
        return f"everything stored for {_listed('organization', request.organizations)}"
    named = (
        _listed("user id", request.users),
        _listed("address", request.emails, "es"),
        _listed("all notifications whose text has the words", request.mentioning, ""),
    )
    where = f", only in {_listed('organization', request.organizations)}" if request.organizations else ""
    velt = "; and at Velt all data of these users" if request.velt_user_data else ""
    return " and ".join(filter(None, named)) + where + velt


def _listed(what: str, names: tuple[str, ...], several: str = "s") -> str:
    shown = ", ".join(map(repr, names))
    return f"{what}{several if len(names) > 1 else ''} {shown}" if names else ""


def _request(  # noqa: PLR0913 - a command's options
    *,
    users: tuple[str, ...],
    emails: tuple[str, ...],
    organizations: tuple[str, ...],
    wholes: tuple[str, ...],
    names: tuple[str, ...],
    velt_user_data: bool,
) -> ErasureRequest:
    if wholes and organizations:
        raise click.UsageError(
            "--org limits the erasure of a person; --organization erases everything. Use only one of them."
        )
    return ErasureRequest(
        id=new_id(),
        by=operator(),
        asked=clock.now(),
        users=users,
        emails=emails,
        mentioning=names,
        organizations=organizations or wholes,
        whole=bool(wholes),
        velt_user_data=velt_user_data,
    )


def _list_mentions(stores: Stores, request: ErasureRequest) -> None:
    named = False
    for record in stores.store.scan():
        if request.covers(record.organization) and is_mentioned(prose_in(record), request.mentions):
            if not named:
                say("These notifications have the name in their text and will be removed:", err=True)
            named = True
            say(f"  {record.organization} {record.notification}", err=True)
    if not named:
        say("No text has the name.", err=True)


def _carry_out(settings: Settings, stores: Stores, request: ErasureRequest) -> JSON:
    """Carry the erasure out here, or follow a worker that does; then wait for Velt, with a limit."""
    with open_trail(settings, stores) as trail:
        eraser = build_eraser(settings, stores, trail)
        erasures, changed = build_erasures(settings, stores), time.monotonic()
        before: JSON = {}
        with progress_bar() as progress:
            bar = progress.add_task("Erasing", total=None)
            while True:
                for at in eraser.advance(request.id):
                    progress.update(bar, total=at.of, completed=at.looked, description=_phase(at))
                found = erasures.find(request.id)
                if found is None or found["status"] == Phase.DONE:
                    break
                if found["status"] == Phase.AWAITING_VELT and not stores.outbox.has_live_worker():
                    break
                if found != before:
                    before, changed = found, time.monotonic()
                if time.monotonic() - changed > _STALLED_SECONDS:
                    break
                time.sleep(_POLL_SECONDS)
        eraser.lease.release(eraser.me)
    if found is None:
        raise click.ClickException(
            "The erasure vanished from Redis before it was done: was a backup restored?"
        )
    return found


def _phase(request: ErasureRequest) -> str:
    return "Waiting for Velt" if request.phase is Phase.AWAITING_VELT else "Erasing"


@click.command("status")
@click.argument("erasure", type=IDENTIFIER, required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts; includes erasure certificates.")
def status(erasure: str | None, as_json: bool) -> None:
    """Show the progress of ERASURE, with its erasure certificate when it is done. Without ERASURE, list all
    erasures, oldest first."""
    settings = load()
    erasures = build_erasures(settings, build_stores(settings))
    if erasure is None:
        found = list(erasures.all())
    elif one := erasures.find(erasure):
        found = [one]
    else:
        raise click.ClickException("No such erasure is known.")
    if as_json:
        say_json(found[0] if erasure else found)
    elif erasure:
        print_erasure(found[0])
    else:
        _list(found)
    raise SystemExit(any(erasure["status"] == TAMPERED for erasure in found))


def _list(found: list[JSON]) -> None:
    for erasure in found:
        say(f"{erasure.get('askedAt', '')}  {_summary(erasure)}".lstrip())
    if not found:
        say("There are no erasures.")


def print_erasure(found: JSON) -> None:
    """Show one erasure in full."""
    say(_summary(found))
    if certificate := found.get("certificate"):
        say_json(certificate, indent=2)
    elif found["status"] == Phase.AWAITING_VELT:
        say(
            "Everything is erased here. The worker sends the commands to Velt; then "
            "`resolver privacy status` has the erasure certificate.",
            err=True,
        )
    else:
        say("It is not done yet: a worker continues it.", err=True)


def _summary(found: JSON) -> str:
    if found["status"] == TAMPERED:
        return f"{found['erasureId']}: tampered with; the erasure certificate in Redis was not signed here"
    counts = found["counts"]
    return (
        f"{found['erasureId']}: {found['status']}; {counts['removed']} removed, {counts['cut']} cut, "
        f"{counts['commands']} commands, {counts['lookedAt']} examined"
        f"{_not_examined(counts.get('unreadable', 0))}"
    )


def _not_examined(unreadable: int) -> str:
    """Report records that don't open: they may hold the same person, under a missing key."""
    return f"; NOT examined, since they don't open: {unreadable}" if unreadable else ""
