"""`resolver keys adopt`: give a database to another Velt API key on purpose."""

from __future__ import annotations

import click

from resolver.cli.on_record import operator_event, trail_of
from resolver.cli.terminal import say, say_json
from resolver.config import load
from resolver.store.database_identity import Adoption
from resolver.store.reindex import in_flight
from resolver.wiring import build_stores


@click.command("adopt")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def adopt(yes: bool, as_json: bool) -> None:
    """Move the Redis database to this VELT_API_KEY. One database belongs to one environment at Velt: a
    resolver with another API key answers 503. So do the processes of the former key, once they look at the
    database again: for up to a second they go on serving and sending. Stop them first. Commands that wait are
    sent to this environment from then on."""
    settings = load()
    stores = build_stores(settings)
    adoption = Adoption(stores.redis, stores.identity)
    needed = adoption.is_needed()
    if needed:
        left = in_flight(stores.redis) or "nothing waits"
        if not yes:
            click.confirm(
                f"Move this database to the environment of this VELT_API_KEY ({left})? Processes with the "
                "former key answer 503 within a second.",
                abort=True,
                err=True,
            )
        # The lookup key is the same one, so the line is signed with a key that counts. Closing the trail
        # stores how long it is, which this process may do only once the database belongs to its API key.
        with trail_of(settings, stores) as trail:
            trail.record(operator_event("keys adopt", "", [stores.identity.environment]))
            adoption.adopt()
    said = "The database belongs to this VELT_API_KEY " + ("now." if needed else "already.")
    if as_json:
        say_json({"adopted": needed})
    else:
        say(said)
