"""What a load balancer asks: is this process alive, and may it get traffic."""

from __future__ import annotations

from flask import Blueprint, Response

from resolver import draining
from resolver.services import Services
from resolver.web.errors import json_reply


def blueprint(services: Services) -> Blueprint:
    ops = Blueprint("ops", __name__)
    reached = False

    @ops.get("/livez", provide_automatic_options=False)
    def livez() -> Response:
        return json_reply({"status": "ok"})

    @ops.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
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

    return ops
