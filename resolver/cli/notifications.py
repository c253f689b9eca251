"""Commands about single notifications: what would leave, what is held, and a token to read with."""

from __future__ import annotations

import json
from typing import Any, TextIO

import click

from resolver.access.tokens import LONGEST_SECONDS, SHORTEST_SECONDS, USUAL_SECONDS, Tokens
from resolver.record import Record
from resolver.services import build_vault
from resolver.settings import load
from resolver.split import People, Split, split_add, split_update
from resolver.velt import requests

JSON = dict[str, Any]


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--people", type=click.Choice(["full", "reference"]), default="full", help="RESOLVER_PEOPLE.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def split(file: TextIO, people: People, as_json: bool) -> None:
    """Show what of a payload goes to Velt and what stays. FILE is the JSON of an add or an update ("-" reads
    standard input). Needs no Redis and no keys, and sends nothing."""
    shown = [_shown(part) for part in _splits(read_object(file), people)]
    if as_json:
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown))
        return
    for part in shown:
        for title, value in part.items():
            click.secho(title, bold=True)
            click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@click.command()
@click.argument("organization")
@click.argument("notification")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def inspect(organization: str, notification: str, as_json: bool) -> None:
    """Open one notification and show what is held. For operators: this prints content."""
    held = build_vault(load()).read(organization, [notification])
    if notification not in held:
        raise click.ClickException("Not held here: never added, expired or deleted.")
    click.echo(json.dumps(_described(held[notification]), indent=None if as_json else 2, ensure_ascii=False))


@click.command()
@click.option("--user", required=True, help="The end user's id, as Velt knows it.")
@click.option("--org", "organizations", multiple=True, required=True, help="Repeat for several.")
@click.option(
    "--ttl", default=USUAL_SECONDS, show_default=True, type=click.IntRange(SHORTEST_SECONDS, LONGEST_SECONDS)
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def token(user: str, organizations: tuple[str, ...], ttl: int, as_json: bool) -> None:
    """Mint a callback token, to try a callback by hand."""
    minted = Tokens(load().token).mint(user, list(organizations), ttl)
    found = {"token": minted.token, "expiresAt": minted.expires_at}
    click.echo(json.dumps(found) if as_json else minted.token)


def read_object(file: TextIO) -> JSON:
    """A JSON object, with or without Velt's `{"data": …}` around it."""
    try:
        payload = json.load(file)
    except (ValueError, RecursionError):
        raise click.ClickException("The file is not valid JSON.") from None
    if isinstance(payload, dict) and isinstance(payload.get("data"), dict):
        payload = payload["data"]
    if not isinstance(payload, dict):
        raise click.ClickException("The file must hold a JSON object.")
    return payload


def _splits(payload: JSON, people: People) -> list[Split]:
    if "notifications" in payload:
        _, entries = requests.parse_update(payload)
        return [split_update(entry, people) for entry in entries]
    return [split_add(requests.parse(requests.ADD, payload), people)]


def _shown(part: Split) -> JSON:
    return {
        "To Velt": part.forward,
        "Sealed, for recipients": part.content,
        "Sealed, for the backend alone": part.private,
        "Dropped": part.dropped,
    }


def _described(record: Record) -> JSON:
    return {
        "organizationId": record.organization,
        "notificationId": record.notification,
        "documentId": record.document,
        "actor": record.actor,
        "audience": list(record.audience),
        "notifyAll": record.everyone,
        "verifyUserPermissions": record.verified,
        "hidden": list(record.hidden),
        "created": record.created,
        "backendOnly": dict(record.private),
        "content": record.parsed_content(),
    }
