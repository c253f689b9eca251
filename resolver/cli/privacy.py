"""`resolver privacy`: what people may ask for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from resolver.cli.on_record import on_record, operator, trail_of
from resolver.cli.progress import progress_bar
from resolver.fields import is_sound
from resolver.privacy.erasures import TAMPERED
from resolver.privacy.export import Export, audit_entries
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.order import Order, Phase, new_id, today
from resolver.privacy.people import Subject, prose_in
from resolver.services import Stores, build_eraser, build_erasures, build_stores
from resolver.settings import Settings, load

JSON = dict[str, Any]
_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_LOOK_SECONDS = 0.2
_PATIENT_SECONDS = 20.0
"""With Velt, or another process at work on it, when nothing changes."""


@click.group()
def privacy() -> None:
    """What is held about somebody."""


@privacy.command("erase")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option("--org", "organizations", multiple=True, help="In these alone; else in all.")
@click.option(
    "--organization", "wholes", multiple=True, help="All that this organization has: it is leaving."
)
@click.option("--mentioning", "names", multiple=True, help="Also what names them in its text. Listed first.")
@click.option("--velt-user-data", is_flag=True, help="Have Velt delete all that it has of these users.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts: the outcome as `privacy status` prints it."
)
def erase(**asked: Any) -> None:
    """Take somebody out of everything that is held. What they did, or what was sent to them alone, goes; out
    of the rest they are cut. Velt is told by the worker, and then there is a certificate. Stopped half-way, a
    worker finishes it. Free text is searched with --mentioning alone."""
    order = _order(**{name: value for name, value in asked.items() if name not in ("yes", "as_json")})
    _ensure_meant(order)
    settings = load()
    stores = build_stores(settings)
    if order.mentioning:
        _list_mentions(stores, order)
    if not asked["yes"]:
        click.confirm(f"Erase {', '.join(order.names())}?", abort=True)
    on_record(settings, stores, "privacy erase", "", [order.id, *map(stores.keyspace.blinded, order.names())])
    build_erasures(settings, stores).file(order)
    found = _carried_out(settings, stores, order)
    if asked["as_json"]:
        click.echo(json.dumps(found))
    else:
        _tell(found)
    if found["counts"]["unreadable"]:
        raise click.ClickException(
            f"{found['counts']['unreadable']} records do not open, and weren't looked into."
        )


def _order(  # noqa: PLR0913 - a command's options
    *,
    users: tuple[str, ...],
    emails: tuple[str, ...],
    organizations: tuple[str, ...],
    wholes: tuple[str, ...],
    names: tuple[str, ...],
    velt_user_data: bool,
) -> Order:
    if wholes and organizations:
        raise click.UsageError("--org bounds what is done for a person; --organization takes all. Not both.")
    return Order(
        id=new_id(),
        by=operator(),
        asked=today(),
        users=users,
        emails=emails,
        mentioning=names,
        organizations=organizations or wholes,
        whole=bool(wholes),
        velt_user_data=velt_user_data,
    )


def _ensure_meant(order: Order) -> None:
    if problem := order.problem():
        raise click.UsageError(f"{problem} (see --help)")


def _list_mentions(stores: Stores, order: Order) -> None:
    click.echo("Their text names them, so these go whole:", err=True)
    for record in stores.vault.scan():
        if order.covers(record.organization) and is_mentioned(prose_in(record), order.mentions):
            click.echo(f"  {record.organization} {record.notification}", err=True)


def _carried_out(settings: Settings, stores: Stores, order: Order) -> JSON:
    """By this process, or by a worker that was quicker; then Velt is waited for, not for ever."""
    with trail_of(settings, stores) as trail:
        eraser = build_eraser(settings, stores, trail)
        erasures, changed = build_erasures(settings, stores), time.monotonic()
        before: JSON = {}
        with progress_bar() as progress:
            bar = progress.add_task("Erasing", total=None)
            while True:
                for at in eraser.advance(order.id):
                    progress.update(bar, total=at.of, completed=at.looked, description=_doing(at))
                found = erasures.find(order.id)
                if found is None or found["status"] == Phase.DONE:
                    break
                if found["status"] == Phase.TELLING and not stores.outbox.is_worked():
                    break
                if found != before:
                    before, changed = found, time.monotonic()
                if time.monotonic() - changed > _PATIENT_SECONDS:
                    break
                time.sleep(_LOOK_SECONDS)
        stores.orders.let_go(eraser.me)
    if found is None:
        raise click.ClickException("It is gone from Redis before it was done: was a backup restored?")
    return found


def _doing(order: Order) -> str:
    return "Telling Velt" if order.phase is Phase.TELLING else "Erasing"


@privacy.command("status")
@click.argument("erasure", required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts; with the certificate of what is done.")
def status(erasure: str | None, as_json: bool) -> None:
    """How far ERASURE is, or all of them, whoever asked for them."""
    if erasure and not is_sound(erasure):
        raise click.UsageError("That is no erasure's id.")
    settings = load()
    erasures = build_erasures(settings, build_stores(settings))
    if erasure is None:
        found = list(erasures.all())
    elif one := erasures.find(erasure):
        found = [one]
    else:
        raise click.ClickException("No such erasure is known.")
    if as_json:
        click.echo(json.dumps(found[0] if erasure else found))
    else:
        for told in found:
            _tell(told)
    raise SystemExit(any(told["status"] == TAMPERED for told in found))


def _tell(found: JSON) -> None:
    if found["status"] == TAMPERED:
        click.echo(f"{found['erasureId']}: tampered with; Redis holds what was never signed here")
        return
    told = found["counts"]
    click.echo(
        f"{found['erasureId']}: {found['status']}; {told['removed']} removed, {told['cut']} cut, "
        f"{told['commands']} commands, {told['lookedAt']} looked at"
    )
    if certificate := found.get("certificate"):
        click.echo(json.dumps(certificate, indent=2))
    elif found["status"] == Phase.TELLING:
        click.echo(
            "All is gone here. Velt is told by the worker; then `resolver privacy status` has the "
            "certificate.",
            err=True,
        )
    else:
        click.echo("It is not done yet: a worker goes on with it.", err=True)


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
    people's ids, names and addresses are cut out; free text is shown as it is. The last line says whether it
    is all; exit status 1 when records don't open, or lines of the trail don't read."""
    order = Order(new_id(), operator(), today(), users, emails, organizations=organizations)
    _ensure_meant(order)
    settings = load()
    stores = build_stores(settings)
    on_record(settings, stores, "privacy export", "", list(map(stores.keyspace.blinded, order.names())))
    odd = _show_audit(trails, order.subject)
    last: JSON = {}
    with progress_bar() as progress:
        bar = progress.add_task("Looking", total=2 * stores.orders.size())
        for found in Export(stores.vault, stores.outbox, stores.orders)(
            order.subject, frozenset(organizations)
        ):
            progress.advance(bar)
            if found:
                last = found
                click.echo(json.dumps(found, ensure_ascii=False))
    click.echo(f"{last['found']} things are held.", err=True)
    if not last["complete"]:
        raise click.ClickException(f"{last['unreadable']} records do not open: this may not be all.")
    if odd:
        raise click.ClickException(f"{odd} lines of the audit trail do not read: this may not be all.")


def _show_audit(trails: tuple[Path, ...], subject: Subject) -> int:
    """What the trail says of them; how many of its lines don't read."""
    odd = 0
    for path in trails:
        with path.open("rb") as lines:
            for found in audit_entries(lines, subject):
                if isinstance(found, int):
                    odd += 1
                    name = click.format_filename(path, shorten=True)
                    click.echo(f"line {found} of {name} does not read.", err=True)
                else:
                    # In ASCII: half a character, which JSON can spell, could not be written otherwise.
                    click.echo(json.dumps(found))
    return odd
