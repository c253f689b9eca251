"""`resolver privacy erase`: take somebody out of everything, followed to its certificate."""

from __future__ import annotations

import time
from typing import Any

import click

from resolver import clock
from resolver.cli.erasure_status import tell
from resolver.cli.meant import ensure_meant
from resolver.cli.on_record import on_record, operator, trail_of
from resolver.cli.progress import progress_bar
from resolver.cli.terminal import say, say_json
from resolver.cli.words import counted
from resolver.config import Settings, load
from resolver.privacy.erasure_request import ErasureRequest, Phase, new_id
from resolver.privacy.mentions import is_mentioned
from resolver.privacy.people import prose_in
from resolver.wiring import Stores, build_eraser, build_erasures, build_stores

JSON = dict[str, Any]
_LOOK_SECONDS = 0.2
_PATIENT_SECONDS = 20.0
"""With Velt, or another process at work on it, when nothing changes."""


@click.command("erase")
@click.option("--user", "users", multiple=True, help="Their user id. Repeat for several.")
@click.option("--email", "emails", multiple=True, help="Their address. Repeat for several.")
@click.option(
    "--org",
    "organizations",
    multiple=True,
    help="Only in this organization. Repeat for several. Without it, in all.",
)
@click.option("--organization", "wholes", multiple=True, help="Erase everything of this organization.")
@click.option(
    "--mentioning", "names", multiple=True, help="Also erase what has this name in its text; listed first."
)
@click.option("--velt-user-data", is_flag=True, help="Have Velt delete all that it has of these users.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts: the outcome as `privacy status` prints it."
)
def erase(**asked: Any) -> None:
    """Erase a person, or an organization. Notifications that the person caused, or that were sent to them
    alone, are removed; the person is cut out of all others. The worker tells Velt, and then there is an
    erasure certificate. If this command is stopped half-way, a worker finishes the erasure. Free text is
    searched only with --mentioning."""
    order = _order(**{name: value for name, value in asked.items() if name not in ("yes", "as_json")})
    ensure_meant(order, "Whom? --user, --email, --mentioning or --organization is required.")
    settings = load()
    stores = build_stores(settings)
    if order.mentioning:
        _list_mentions(stores, order)
    if not asked["yes"]:
        click.confirm(f"Erase {_spoken(order)}?", abort=True, err=True)
    on_record(
        settings, stores, "privacy erase", "", [order.id, *map(stores.keyspace.pseudonym, order.names())]
    )
    build_erasures(settings, stores).file(order)
    found = _carried_out(settings, stores, order)
    if asked["as_json"]:
        say_json(found)
    else:
        tell(found)
    _say_what_is_odd(found["counts"])


def _say_what_is_odd(counts: JSON) -> None:
    """An id that was misspelt finds nobody, and its certificate looks like any other."""
    if not (counts["removed"] or counts["cut"] or counts["commands"]):
        say(
            "NOBODY WAS FOUND: nothing was removed or cut. Is it spelt as in your notifications? An id "
            "counts to the letter, and an address where it stands: see `resolver privacy export`.",
            fg="yellow",
            bold=True,
            err=True,
        )
    if counts["unreadable"]:
        records = counted(counts["unreadable"], "record that doesn't open", "records that don't open")
        raise click.ClickException(f"Not looked into: {records}.")


def _spoken(order: ErasureRequest) -> str:
    """Each name as what it was taken for: the wrong option finds nobody."""
    if order.whole:
        return f"all that is held of {_listed('organization', order.organizations)}"
    named = (
        _listed("user id", order.users),
        _listed("address", order.emails, "es"),
        _listed("all whose text has the words", order.mentioning, ""),
    )
    where = f", in {_listed('organization', order.organizations)} alone" if order.organizations else ""
    velt = "; and at Velt all that it has of these users" if order.velt_user_data else ""
    return " and ".join(filter(None, named)) + where + velt


def _listed(what: str, names: tuple[str, ...], several: str = "s") -> str:
    shown = ", ".join(map(repr, names))
    return f"{what}{several if len(names) > 1 else ''} {shown}" if names else ""


def _order(  # noqa: PLR0913 - a command's options
    *,
    users: tuple[str, ...],
    emails: tuple[str, ...],
    organizations: tuple[str, ...],
    wholes: tuple[str, ...],
    names: tuple[str, ...],
    velt_user_data: bool,
) -> ErasureRequest:
    if wholes and organizations:
        raise click.UsageError("--org bounds what is done for a person; --organization takes all. Not both.")
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


def _list_mentions(stores: Stores, order: ErasureRequest) -> None:
    named = False
    for record in stores.store.scan():
        if order.covers(record.organization) and is_mentioned(prose_in(record), order.mentions):
            if not named:
                say("Their text names them, so these go whole:", err=True)
            named = True
            say(f"  {record.organization} {record.notification}", err=True)
    if not named:
        say("No text names them.", err=True)


def _carried_out(settings: Settings, stores: Stores, order: ErasureRequest) -> JSON:
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
                if found["status"] == Phase.TELLING and not stores.outbox.has_live_worker():
                    break
                if found != before:
                    before, changed = found, time.monotonic()
                if time.monotonic() - changed > _PATIENT_SECONDS:
                    break
                time.sleep(_LOOK_SECONDS)
        stores.erasure_store.release_lease(eraser.me)
    if found is None:
        raise click.ClickException("It is gone from Redis before it was done: was a backup restored?")
    return found


def _doing(order: ErasureRequest) -> str:
    return "Telling Velt" if order.phase is Phase.TELLING else "Erasing"
