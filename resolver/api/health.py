"""Liveness and readiness endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from resolver.api.endpoint import Route
from resolver.api.reply import Reply, json_reply
from resolver.api.request import Call
from resolver.ops import draining
from resolver.wiring import Services


def routes(services: Services) -> Iterator[Route]:
    readiness = services.readiness

    def livez(_call: Call[None]) -> Reply:
        return json_reply({"status": "ok"})

    def readyz(_call: Call[None]) -> Reply:
        """Answer 503 only until this process has reached Redis once, and while it drains.

        During an outage that all instances share, an orchestrator must not stop them all: a balancer's own
        503 has neither CORS headers nor the shape of our errors.
        """
        redis = readiness.check()
        if draining.is_under_way():
            status, http = "draining", 503
        else:
            status, http = ("ok", 200) if readiness.has_reached_redis else ("starting", 503)
        return json_reply({"status": status, "redis": redis}, http)

    yield Route("GET", "/livez", "livez", livez)
    yield Route("GET", "/readyz", "readyz", readyz)
