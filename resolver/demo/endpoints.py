"""The endpoints of the demo page of `resolver dev`.

The page calls the real surfaces where it can. Below its own path is only what they don't offer: development
credentials, the sandbox's state, sealed bytes. So it is served only in development mode, to this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from resolver.api import pages
from resolver.api.body import read_json
from resolver.api.endpoint import Route
from resolver.api.reply import Reply, json_reply
from resolver.api.request import Call
from resolver.audit.event import Actor, Event
from resolver.config.secret import Secret
from resolver.crypto.envelope import key_id_of
from resolver.demo.dev_control import DevControl
from resolver.demo.sandbox import Sandbox
from resolver.errors import InvalidArgument, Unavailable
from resolver.store.record import Record
from resolver.velt.client import VeltEndpoint
from resolver.wiring import Services, Stores, build_stores

JSON = dict[str, Any]
PATH = "/demo"
_MOST_SHOWN = 40
_MOST_EXAMINED = 500
_WHO = Actor("ops", "demo page")


def routes(services: Services) -> Iterator[Route]:
    yield from pages.routes(PATH, "demo")
    yield from _setting_out(services)
    yield from _velt(services, Sandbox(services.settings.velt_api_url, connections=8))
    yield from _redis(services)


def _setting_out(services: Services) -> Iterator[Route]:
    settings = services.settings
    dev_control = DevControl(Path(settings.dev_state)) if settings.dev_state else None

    def credentials(_call: Call[None]) -> Reply:
        return json_reply(
            {
                "apiKey": settings.velt_api_key.reveal(),
                "callerToken": _first(settings.caller_tokens.values()),
                "privacyToken": _first(settings.privacy_tokens.values()),
            }
        )

    def keys(_call: Call[None]) -> Reply:
        under_way = dev_control is not None and dev_control.is_rotation_requested()
        # `resolver dev` uses `process` to see when a process with former keys has ended.
        found = {"keys": list(settings.master_keys), "rotating": under_way, "process": os.getpid()}
        return json_reply(found)

    def rotate(call: Call[None]) -> Reply:
        read_json(call.request)
        if dev_control is None:
            raise InvalidArgument("`resolver dev` doesn't manage the master keys of this process.")
        dev_control.request_rotation()
        return json_reply({"rotating": True}, 202)

    yield Route("GET", f"{PATH}/credentials", "credentials", credentials)
    yield Route("GET", f"{PATH}/keys", "keys", keys)
    yield Route("POST", f"{PATH}/keys/rotate", "rotate", rotate)


def _velt(services: Services, sandbox: Sandbox) -> Iterator[Route]:
    def velt(call: Call[None]) -> Reply:
        until = call.deadline
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

    def feed(call: Call[None]) -> Reply:
        organization, user = call.request.args.get("organizationId", ""), call.request.args.get("userId", "")
        return json_reply({"notifications": sandbox.feed(organization, user, call.deadline)})

    def outage(call: Call[None]) -> Reply:
        wanted = read_json(call.request).get("out") is True
        (sandbox.break_down if wanted else sandbox.mend)(call.deadline)
        return json_reply({"out": wanted})

    def delete(call: Call[None]) -> Reply:
        """Delete at Velt, as Velt's SDK does after the data provider's delete has succeeded."""
        organization, notification = _ids(read_json(call.request))
        data = {"organizationId": organization, "notificationIds": [notification]}
        try:
            services.velt.post(VeltEndpoint.DELETE, data, call.deadline)
        except Unavailable:
            return json_reply({"deleted": False})
        return json_reply({"deleted": True})

    yield Route("GET", f"{PATH}/velt", "velt", velt)
    yield Route("GET", f"{PATH}/feed", "feed", feed)
    yield Route("POST", f"{PATH}/outage", "outage", outage)
    yield Route("POST", f"{PATH}/velt/delete", "delete", delete)


def _redis(services: Services) -> Iterator[Route]:
    stores = build_stores(services.settings)

    def held(_call: Call[None]) -> Reply:
        return json_reply({"held": _newest(stores, _MOST_SHOWN)})

    def stored(call: Call[None]) -> Reply:
        return json_reply(_sealed(stores, *_ids(read_json(call.request))))

    def inspect(call: Call[None]) -> Reply:
        organization, notification = _ids(read_json(call.request))
        read = Event(_WHO, "demo", "inspect", "ok", call.id, organization, [notification])
        services.trail.record(read)
        return json_reply({"opened": _opened(stores, organization, notification)})

    yield Route("GET", f"{PATH}/held", "held", held)
    yield Route("POST", f"{PATH}/stored", "stored", stored)
    yield Route("POST", f"{PATH}/opened", "inspect", inspect)


def _ids(body: JSON) -> tuple[str, str]:
    organization, notification = body.get("organizationId"), body.get("notificationId")
    if not (isinstance(organization, str) and isinstance(notification, str)):
        raise InvalidArgument("organizationId and notificationId are strings")
    return organization, notification


def _first(secrets: Any) -> str:
    found: Secret | None = next(iter(secrets), None)
    return found.reveal() if found else ""


def _newest(stores: Stores, most: int) -> list[JSON]:
    """List the newest of some hundred records: ids and time, no content."""
    examined = islice(stores.store.scan(), _MOST_EXAMINED)
    found = {(record.created, record.organization, record.notification) for record in examined}
    return [
        {"organizationId": organization, "notificationId": notification, "created": created}
        for created, organization, notification in sorted(found, reverse=True)[:most]
    ]


def _sealed(stores: Stores, organization: str, notification: str) -> JSON:
    """Return a record's sealed bytes; `sealed` is null if there is none."""
    name = stores.keyspace.record(organization, notification)
    with stores.store.guard:
        held = cast(bytes | None, stores.redis.get(name))
    return {
        "keyName": name,
        "sealed": held.hex() if held else None,
        "length": len(held or b""),
        "keyId": key_id_of(held or b""),
    }


def _opened(stores: Stores, organization: str, notification: str) -> JSON | None:
    held: Record | None = stores.store.read(organization, [notification]).get(notification)
    return held.described() if held else None
