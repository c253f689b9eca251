"""The demo page of `resolver dev`: everything in sight, on one page.

It calls the real surfaces for what those do. What they don't show is below its own path: development
credentials, the sandbox from inside, sealed bytes. Hence its guard, and development mode alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from resolver.audit.event import Actor, Event
from resolver.demo.sandbox import Sandbox
from resolver.demo.sealed import newest, opened, sealed
from resolver.demo.wishes import Wishes
from resolver.errors import InvalidArgument, Unavailable
from resolver.secret import Secret
from resolver.services import THREADS, Services, build_stores
from resolver.velt.client import Endpoint
from resolver.web import pages
from resolver.web.body import read_json
from resolver.web.errors import json_reply
from resolver.web.request import deadline, request_id

JSON = dict[str, Any]
PATH = "/demo"
_MOST_SHOWN = 40
_WHO = Actor("ops", "demo page")


def blueprint(services: Services) -> Blueprint:
    demo = Blueprint("demo", __name__)
    pages.serve(demo, PATH, "demo")
    _setting_out(demo, services)
    _velt(demo, services, Sandbox(services.settings.velt_api_url, THREADS))
    _redis(demo, services)
    return demo


def _setting_out(demo: Blueprint, services: Services) -> None:
    settings = services.settings
    wishes = Wishes(Path(settings.dev_state)) if settings.dev_state else None

    @demo.get(f"{PATH}/credentials", provide_automatic_options=False)
    def credentials() -> Response:
        return json_reply(
            {
                "apiKey": settings.velt_api_key.reveal(),
                "callerToken": _first(settings.caller_tokens.values()),
                "privacyToken": _first(settings.privacy_tokens.values()),
            }
        )

    @demo.get(f"{PATH}/keys", provide_automatic_options=False)
    def keys() -> Response:
        under_way = wishes is not None and wishes.is_rotation_wanted()
        # By the process `resolver dev` tells whether one that had other keys is gone.
        found = {"keys": list(settings.master_keys), "rotating": under_way, "process": os.getpid()}
        return json_reply(found)

    @demo.post(f"{PATH}/keys/rotate", provide_automatic_options=False)
    def rotate() -> Response:
        read_json()
        if wishes is None:
            raise InvalidArgument("The master keys of this process are not kept by `resolver dev`.")
        wishes.want_rotation()
        return json_reply({"rotating": True}, 202)


def _velt(demo: Blueprint, services: Services, sandbox: Sandbox) -> None:
    @demo.get(f"{PATH}/velt", provide_automatic_options=False)
    def velt() -> Response:
        until = deadline()
        ledger, stored = sandbox.ledger(until), sandbox.notifications(until)
        return json_reply(
            {
                "notifications": stored[:_MOST_SHOWN],
                "stored": len(stored),
                "ledger": ledger[:_MOST_SHOWN],
                "requests": len(ledger),
                "out": sandbox.is_out(until),
            }
        )

    @demo.get(f"{PATH}/feed", provide_automatic_options=False)
    def feed() -> Response:
        organization, user = request.args.get("organizationId", ""), request.args.get("userId", "")
        return json_reply({"notifications": sandbox.feed(organization, user, deadline())})

    @demo.post(f"{PATH}/outage", provide_automatic_options=False)
    def outage() -> Response:
        wanted = read_json().get("out") is True
        (sandbox.break_down if wanted else sandbox.mend)(deadline())
        return json_reply({"out": wanted})

    @demo.post(f"{PATH}/velt/delete", provide_automatic_options=False)
    def delete() -> Response:
        """What Velt's SDK does by itself once the deletion callback said that all is well."""
        organization, notification = _ids(read_json())
        data = {"organizationId": organization, "notificationIds": [notification]}
        try:
            services.velt.post(Endpoint.DELETE, data, deadline())
        except Unavailable:
            return json_reply({"deleted": False})
        return json_reply({"deleted": True})


def _redis(demo: Blueprint, services: Services) -> None:
    stores = build_stores(services.settings)

    @demo.get(f"{PATH}/held", provide_automatic_options=False)
    def held() -> Response:
        return json_reply({"held": newest(stores, _MOST_SHOWN)})

    @demo.post(f"{PATH}/stored", provide_automatic_options=False)
    def stored() -> Response:
        return json_reply(sealed(stores, *_ids(read_json())))

    @demo.post(f"{PATH}/opened", provide_automatic_options=False)
    def inspect() -> Response:
        organization, notification = _ids(read_json())
        read = Event(_WHO, "demo", "inspect", "ok", request_id(), organization, [notification])
        services.trail.record(read)
        return json_reply({"opened": opened(stores, organization, notification)})


def _ids(body: JSON) -> tuple[str, str]:
    organization, notification = body.get("organizationId"), body.get("notificationId")
    if not (isinstance(organization, str) and isinstance(notification, str)):
        raise InvalidArgument("organizationId and notificationId are strings")
    return organization, notification


def _first(secrets: Any) -> str:
    found: Secret | None = next(iter(secrets), None)
    return found.reveal() if found else ""
