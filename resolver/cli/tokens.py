"""`resolver tokens`: what becomes of tokens that were issued already."""

from __future__ import annotations

import click

from resolver import clock
from resolver.cli.identifier import IDENTIFIER
from resolver.cli.on_record import on_record
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.wiring import build_stores


@click.group()
def tokens() -> None:
    """Revoke end users' tokens."""


@tokens.command("revoke")
@click.option("--user", type=IDENTIFIER, required=True, help="The end user's id, as Velt knows it.")
@click.option("--organization", type=IDENTIFIER, help="Only in this organization. Without it, in all.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def revoke(user: str, organization: str | None, as_json: bool) -> None:
    """Revoke every token of a person that was issued until now, by you or by your identity provider: with the
    next call, in every process. Tokens that are issued from the next second on hold, so end the person's
    session as well. A token's time of issue (iat) counts whole seconds: one of the same second is revoked
    too."""
    settings = load()
    stores = build_stores(settings)
    on_record(settings, stores, "tokens revoke", organization or "", [user])
    mark = stores.revocations.revoke(user, organization or "")
    seconds = mark.at_ms // 1000
    if as_json:
        say_json({"userId": user, "organizationId": organization, "revokedAt": seconds})
        return
    where = f"in {organization}" if organization else "everywhere"
    say(f"Tokens of {user} that were issued until {clock.second(seconds)} are revoked {where}.")
    say("A token of this same second is revoked too, even if it is issued after this: wait a second.")
