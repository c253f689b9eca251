"""`resolver split`, `inspect`, `explain`: commands about single notifications."""

from __future__ import annotations

import json
from typing import Any, TextIO

import click

from resolver.auth.claims import EndUser
from resolver.cli.auditing import audit_command
from resolver.cli.options import IDENTIFIER
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.deadline import Deadline
from resolver.velt import requests
from resolver.velt.field_allow_list import PeopleMode, Split, split_add, split_update
from resolver.wiring import build_delivery, build_stores

JSON = dict[str, Any]
_TITLES = {
    "velt": "Velt receives (null: nothing)",
    "content": "Sealed, for recipients",
    "backend": "Sealed, for the backend alone",
    "dropped": "Dropped",
}


@click.command()
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option(
    "--people", type=click.Choice(["full", "reference"]), default="full", help="As RESOLVER_PEOPLE."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def split(file: TextIO, people: PeopleMode, as_json: bool) -> None:
    """Show which fields of a payload go to Velt and which stay here. FILE is the JSON of an add or an update
    ("-" reads standard input). The command needs no Redis and no keys, and sends nothing."""
    shown = _split(read_object(file), people)
    if as_json:
        say_json(shown)
        return
    for name, title in _TITLES.items():
        say(title, bold=True)
        say_json(shown[name], indent=2, ascii_only=False)


@click.command()
@click.argument("organization", type=IDENTIFIER)
@click.argument("notification", type=IDENTIFIER)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def inspect(organization: str, notification: str, as_json: bool) -> None:
    """Open one notification and show what is stored. For operators: this prints content."""
    settings = load()
    stores = build_stores(settings)
    audit_command(settings, stores, "inspect", organization, [notification])
    store = stores.store
    held = store.read(organization, [notification])
    if store.unreadable:
        raise click.ClickException("Held, but it does not open with these keys.")
    if notification not in held:
        raise click.ClickException("Not held here: never added, expired or deleted.")
    say_json(held[notification].described(), indent=None if as_json else 2, ascii_only=as_json)


@click.command()
@click.argument("organization", type=IDENTIFIER)
@click.argument("notification", type=IDENTIFIER)
@click.option("--user", type=IDENTIFIER, required=True, help="The end user's id, as Velt knows it.")
@click.option(
    "--document",
    "documents",
    type=IDENTIFIER,
    multiple=True,
    help="A document that the user's token names. Repeat for several.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def explain(
    organization: str, notification: str, user: str, documents: tuple[str, ...], as_json: bool
) -> None:
    """Explain why an end user of an organization gets a notification or not. For operators: callers never
    learn the reason. Under the document policy the Permission Provider is asked, as for a read."""
    settings = load()
    stores = build_stores(settings)
    audit_command(settings, stores, "explain", organization, [notification, user])
    store = stores.store
    person = EndUser(user, frozenset({organization}), frozenset(documents))
    deadline = Deadline.after(settings.deadline_ms / 1000)
    verdict = build_delivery(settings, stores).explain(person, organization, notification, deadline)
    if store.unreadable:
        raise click.ClickException("Held, but it does not open with these keys.")
    reads = verdict is not None and verdict.reads
    why = verdict.why if verdict else "it is not held here: never added, expired or deleted"
    if as_json:
        say_json({"reads": reads, "why": why, "policy": settings.read_policy})
    else:
        say(f"{user} {'reads' if reads else 'does not read'} it: {why} (policy {settings.read_policy}).")


def read_object(file: TextIO) -> JSON:
    """Read a JSON object, with or without Velt's `{"data": …}` around it."""
    try:
        payload = json.load(file)
    except (ValueError, RecursionError):
        raise click.ClickException("The file is not valid JSON.") from None
    if isinstance(payload, dict) and "data" in payload:
        payload = payload["data"]
    if not isinstance(payload, dict):
        raise click.ClickException("The file, and `data` if it is there, must be a JSON object.")
    return payload


def _split(payload: JSON, people: PeopleMode) -> JSON:
    """Split a payload into what would be sent and what would be stored."""
    if "notifications" not in payload:
        part = split_add(requests.parse(requests.ADD, payload), people)
        return _shown(part.forward, [part])
    filters, entries = requests.parse_update(payload)
    parts = [split_update(entry, people) for entry in entries]
    changes = [part.forward for part in parts if part.forward.keys() > {"id"}]
    return _shown({**filters, "notifications": changes} if changes else None, parts)


def _shown(velt: JSON | None, parts: list[Split]) -> JSON:
    return {
        "velt": {"data": velt} if velt else None,
        "content": _one_or_all([part.content for part in parts]),
        "backend": _one_or_all([part.private for part in parts]),
        "dropped": [name for part in parts for name in (*part.dropped, *part.stripped)],
    }


def _one_or_all(items: list[JSON]) -> Any:
    return items[0] if len(items) == 1 else items
