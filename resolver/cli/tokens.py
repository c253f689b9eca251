"""`resolver token` and `resolver tokens revoke`."""

from __future__ import annotations

import click

from resolver import clock
from resolver.auth.tokens import LONGEST_SECONDS, SHORTEST_SECONDS, USUAL_SECONDS, Tokens
from resolver.cli.auditing import audit_command
from resolver.cli.options import IDENTIFIER
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.wiring import build_stores


@click.command()
@click.option("--user", type=IDENTIFIER, required=True, help="The end user's id, as Velt knows it.")
@click.option(
    "--org",
    "organizations",
    type=IDENTIFIER,
    multiple=True,
    required=True,
    help="An organization that the token opens. Repeat for several.",
)
@click.option(
    "--ttl",
    default=USUAL_SECONDS,
    show_default=True,
    type=click.IntRange(SHORTEST_SECONDS, LONGEST_SECONDS),
    help="Seconds until the token expires.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def token(user: str, organizations: tuple[str, ...], ttl: int, as_json: bool) -> None:
    """Mint an end user's token, to call the data provider endpoints by hand."""
    settings = load()
    minted = Tokens(settings.token).mint(user, list(organizations), ttl)
    audit_command(settings, build_stores(settings), "token", "", [user, *organizations])
    found = {"token": minted.token, "expiresAt": minted.expires_at}
    if as_json:
        say_json(found)
    else:
        say(minted.token)


@click.group()
def tokens() -> None:
    """Revoke end users' tokens."""


@tokens.command("revoke")
@click.option("--user", type=IDENTIFIER, required=True, help="The end user's id, as Velt knows it.")
@click.option(
    "--organization", type=IDENTIFIER, help="Only in this organization. Without it, in all organizations."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def revoke(user: str, organization: str | None, as_json: bool) -> None:
    """Revoke every token of a person that was issued until now, by you or by your identity provider. It takes
    effect with the next call, in every process. Tokens issued from the next second on are valid, so end the
    person's session too. A token's time of issue (iat) is in whole seconds: a token of the same second is
    revoked too."""
    settings = load()
    stores = build_stores(settings)
    audit_command(settings, stores, "tokens revoke", organization or "", [user])
    mark = stores.revocations.revoke(user, organization or "")
    seconds = mark.at_ms // 1000
    if as_json:
        say_json({"userId": user, "organizationId": organization, "revokedAt": seconds})
        return
    where = f"in {organization}" if organization else "everywhere"
    say(f"Tokens of {user} that were issued until {clock.second(seconds)} are revoked {where}.")
    say("A token of this same second is revoked too, even if it is issued later: wait a second.")
