"""The privacy endpoints: export and erasure, for privacy operators.

export    {userIds?, emails?, organizationIds?}   -> one JSON object per line; the last says if it is complete
erase     the same, or whole organizations        -> 202 {erasureId}; the worker carries it out
erasures  GET by id                               -> status; when it is done, the erasure certificate
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
from resolver.privacy.erasure_request import ErasureRequest, Problem, new_id
from resolver.validation.fields import LONGEST_ID, Flag, Identifiers
from resolver.velt.schema import Request, parse
from resolver.wiring import Services

JSON = dict[str, Any]
EXPORT, ERASE, ERASURES = "/privacy/export", "/privacy/erase", "/privacy/erasures/"
_MOST_NAMES = 1000
_EXPORTS_AT_ONCE = 1
"""Exports at once in a process: each holds a thread until it ends."""
_RETRY_SECONDS = 10
_MESSAGES = {
    Problem.INVALID_NAME: (
        f"user ids, addresses and organizations are strings of 1 to {LONGEST_ID} characters"
    ),
    Problem.WHOLE_WITH_PEOPLE: "wholeOrganizations takes organizationIds, and no people",
    Problem.NO_SUBJECT: "userIds or emails is required",
    Problem.VELT_NEEDS_USERS: "veltUserData requires userIds: Velt knows people only by them",
    Problem.MENTION_WITHOUT_WORD: "a name to search texts for must contain a word",
}


class _SubjectRequest(Request):
    """Unknown keys are refused: an ignored misspelling of `organizationIds` would widen the request."""

    # An empty list is refused: it is more likely a mistake than a request for everything.
    userIds = Identifiers(least=1, most=_MOST_NAMES)
    emails = Identifiers(least=1, most=_MOST_NAMES)
    organizationIds = Identifiers(least=1, most=_MOST_NAMES)


class _EraseRequest(_SubjectRequest):
    wholeOrganizations = Flag()
    veltUserData = Flag()


EXPORT_SCHEMA, ERASE_SCHEMA = _SubjectRequest(), _EraseRequest()


def routes(services: Services) -> Iterator[Route]:
    exports = threading.BoundedSemaphore(_EXPORTS_AT_ONCE)

    def export(call: Call[PrivacyOperator]) -> Reply:
        request = _request(parse(EXPORT_SCHEMA, read_json(call.request)), call.caller)
        services.store.ping()
        call.audit.record(ids=services.pseudonym(request.names()))
        if not exports.acquire(blocking=False):
            raise TooManyCalls(_RETRY_SECONDS)
        lines = ClosingIterator(_lines(services, request), exports.release)
        return Reply(lines, headers=(("Content-Type", "application/x-ndjson"),))

    def erase(call: Call[PrivacyOperator]) -> Reply:
        request = _request(parse(ERASE_SCHEMA, read_json(call.request)), call.caller)
        call.audit.record(ids=services.pseudonym(request.names()), erasure=request.id)
        services.erasures.file(request)
        return json_reply({"erasureId": request.id}, 202)

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


def _request(asked: JSON, operator: PrivacyOperator) -> ErasureRequest:
    request = ErasureRequest(
        id=new_id(),
        by=operator.name,
        asked=clock.now(),
        users=tuple(asked.get("userIds", ())),
        emails=tuple(asked.get("emails", ())),
        organizations=tuple(asked.get("organizationIds", ())),
        whole=asked.get("wholeOrganizations", False),
        velt_user_data=asked.get("veltUserData", False),
    )
    if problem := request.problem():
        raise InvalidArgument(_MESSAGES[problem])
    return request


def _lines(services: Services, request: ErasureRequest) -> Iterator[bytes]:
    """Yield the export's lines. The last one says whether it is complete: Redis or the connection may
    fail."""
    try:
        for item in services.export(request.subject, frozenset(request.organizations)):
            if item:
                yield orjson.dumps(item) + b"\n"
    except Unavailable:
        yield orjson.dumps({"type": "end", "complete": False}) + b"\n"
