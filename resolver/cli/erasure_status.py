"""`resolver privacy status`: how far erasures are."""

from __future__ import annotations

from typing import Any

import click

from resolver.cli.identifier import IDENTIFIER
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.privacy.erasure_request import Phase
from resolver.privacy.erasures import TAMPERED
from resolver.wiring import build_erasures, build_stores

JSON = dict[str, Any]


@click.command("status")
@click.argument("erasure", type=IDENTIFIER, required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts; with the certificates of what is done.")
def status(erasure: str | None, as_json: bool) -> None:
    """Show how far ERASURE is, with its certificate when it is done. Without ERASURE, show a line for each
    erasure, the oldest first."""
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
        tell(found[0])
    else:
        _list(found)
    raise SystemExit(any(told["status"] == TAMPERED for told in found))


def _list(found: list[JSON]) -> None:
    for told in found:
        say(f"{told.get('askedAt', '')}  {_in_a_line(told)}".lstrip())
    if not found:
        say("No erasure was asked for.")


def tell(found: JSON) -> None:
    """All there is to know of one."""
    say(_in_a_line(found))
    if certificate := found.get("certificate"):
        say_json(certificate, indent=2)
    elif found["status"] == Phase.TELLING:
        say(
            "All is gone here. Velt is told by the worker; then `resolver privacy status` has the "
            "certificate.",
            err=True,
        )
    else:
        say("It is not done yet: a worker goes on with it.", err=True)


def _in_a_line(found: JSON) -> str:
    if found["status"] == TAMPERED:
        return f"{found['erasureId']}: tampered with; Redis holds what was never signed here"
    told = found["counts"]
    return (
        f"{found['erasureId']}: {found['status']}; {told['removed']} removed, {told['cut']} cut, "
        f"{told['commands']} commands, {told['lookedAt']} looked at"
        f"{_not_looked_into(told.get('unreadable', 0))}"
    )


def _not_looked_into(unreadable: int) -> str:
    """They may hold the same person, under a key that is missing here."""
    return f"; NOT looked into, since they don't open: {unreadable}" if unreadable else ""
