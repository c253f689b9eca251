"""What a load balancer asks: is this process alive, and may it get traffic."""

from __future__ import annotations

from collections.abc import Iterator

from resolver import draining
from resolver.services import Services
from resolver.web.endpoint import Route
from resolver.web.reply import Reply, json_reply
from resolver.web.request import Call


def routes(services: Services) -> Iterator[Route]:
    reached = False

    def livez(_call: Call[None]) -> Reply:
        return json_reply({"status": "ok"})

    def readyz(_call: Call[None]) -> Reply:
        """Red only until Redis was reached once, and while it drains: an outage that every instance shares
        must not make an orchestrator pull them all, since a balancer's own 503 has neither CORS headers nor
        our shape."""
        nonlocal reached
        redis = services.vault.state()
        reached = reached or redis == "ok"
        if draining.is_under_way():
            status, http = "draining", 503
        else:
            status, http = ("ok", 200) if reached else ("starting", 503)
        return json_reply({"status": status, "redis": redis}, http)

    yield Route("GET", "/livez", "livez", livez)
    yield Route("GET", "/readyz", "readyz", readyz)
