"""The privacy surface: export and erasure, for data-protection staff and their scripts.

export    {userIds?, emails?, organizationIds?}   -> one JSON object a line; the last one says it is whole
erase     the same, or whole organizations        -> 202 {erasureId}; the worker carries it out
erasures  GET by id                               -> how far it is; in the end, the certificate
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson
from werkzeug.wsgi import ClosingIterator

from resolver import clock
from resolver.api.body import read_json
from resolver.api.endpoint import Route
from resolver.api.reply import Reply, json_reply
from resolver.api.request import Call
from resolver.auth.callers import PrivacyOperator
from resolver.errors import InvalidArgument, NotFound, TooManyCalls, Unavailable
from resolver.privacy.erasure_request import ErasureRequest, Odd, new_id
from resolver.validation.fields import LONGEST_ID, Flag, Identifiers
from resolver.velt.schema import Request, parse
from resolver.wiring import Services

JSON = dict[str, Any]
EXPORT, ERASE, ERASURES = "/privacy/export", "/privacy/erase", "/privacy/erasures/"
_MOST_NAMES = 1000
_EXPORTS_AT_ONCE = 1
"""Of a process: each takes a thread for as long as it lasts."""
_TRY_AGAIN_SECONDS = 10
_ODD = {
    Odd.NAMES: f"user ids, addresses and organizations are strings of 1 to {LONGEST_ID} characters",
    Odd.WHOLE: "wholeOrganizations takes organizationIds, and no people",
    Odd.NOBODY: "userIds or emails is required",
    Odd.VELT_NEEDS_USERS: "veltUserData takes userIds: Velt knows people by those alone",
    Odd.NO_WORD: "a name to search texts for needs a word in it",
}


class _Somebody(Request):
    """A misspelt bound that was passed over would widen what is done."""

    # An empty list is more likely a mistake than a wish for everybody.
    userIds = Identifiers(least=1, most=_MOST_NAMES)
    emails = Identifiers(least=1, most=_MOST_NAMES)
    organizationIds = Identifiers(least=1, most=_MOST_NAMES)


class _Erasure(_Somebody):
    wholeOrganizations = Flag()
    veltUserData = Flag()


EXPORT_SCHEMA, ERASE_SCHEMA = _Somebody(), _Erasure()


def routes(services: Services) -> Iterator[Route]:
    exports = threading.BoundedSemaphore(_EXPORTS_AT_ONCE)

    def export(call: Call[PrivacyOperator]) -> Reply:
        order = _order(parse(EXPORT_SCHEMA, read_json(call.request)), call.caller)
        services.store.ping()
        call.audit.record(ids=services.pseudonym(order.names()))
        if not exports.acquire(blocking=False):
            raise TooManyCalls(_TRY_AGAIN_SECONDS)
        lines = ClosingIterator(_lines(services, order), exports.release)
        return Reply(lines, headers=(("Content-Type", "application/x-ndjson"),))

    def erase(call: Call[PrivacyOperator]) -> Reply:
        order = _order(parse(ERASE_SCHEMA, read_json(call.request)), call.caller)
        call.audit.record(ids=services.pseudonym(order.names()), erasure=order.id)
        services.erasures.file(order)
        return json_reply({"erasureId": order.id}, 202)

    def erasure(call: Call[PrivacyOperator]) -> Reply:
        id_ = call.arguments["id_"]
        call.audit.record(erasure=id_[:64])
        found = services.erasures.find(id_)
        if found is None:
            raise NotFound()
        return json_reply(found)

    yield Route("POST", EXPORT, "export", export)
    yield Route("POST", ERASE, "erase", erase)
    yield Route("GET", f"{ERASURES}<id_>", "erasure", erasure)


def _order(asked: JSON, officer: PrivacyOperator) -> ErasureRequest:
    order = ErasureRequest(
        id=new_id(),
        by=officer.name,
        asked=clock.now(),
        users=tuple(asked.get("userIds", ())),
        emails=tuple(asked.get("emails", ())),
        organizations=tuple(asked.get("organizationIds", ())),
        whole=asked.get("wholeOrganizations", False),
        velt_user_data=asked.get("veltUserData", False),
    )
    if problem := order.problem():
        raise InvalidArgument(_ODD[problem])
    return order


def _lines(services: Services, order: ErasureRequest) -> Iterator[bytes]:
    """Without its last line an export isn't whole: the connection may end at any time, or Redis."""
    try:
        for item in services.export(order.subject, frozenset(order.organizations)):
            if item:
                yield orjson.dumps(item) + b"\n"
    except Unavailable:
        yield orjson.dumps({"type": "end", "complete": False}) + b"\n"
