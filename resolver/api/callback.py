"""The data provider endpoints, which Velt's SDK calls from the browser.

get     {organizationId, notificationIds}  -> {"data": {id: content}, "success": true, "statusCode": 200}
delete  {organizationId, notificationId}   -> {"success": true, "statusCode": 200}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from resolver.api.body import read_json
from resolver.api.endpoint import Route
from resolver.api.reply import Cors, Reply, Spliced, json_reply
from resolver.api.request import Call
from resolver.auth.claims import EndUser
from resolver.config import Settings
from resolver.errors import InvalidArgument
from resolver.notifications.read import Found, Reader, ReadRequest
from resolver.ops.reply_budget import SMALL_REPLY
from resolver.validation.fields import as_notification_id
from resolver.wiring import Services

JSON = dict[str, Any]
PREFIX = "/api/velt/notifications/"
MOST_IDS = 1000
_VIEW_FROM_BYTES = 4096


def routes(services: Services) -> Iterator[Route]:
    cors = cors_of(services.settings)

    def get(call: Call[Reader]) -> Reply:
        inner = _inner(_counted_body(services, call))
        notifications = _notification_ids(inner)
        if not notifications:
            services.read_notifications.require_honoured(call.caller)
            call.audit.record(absent=0)
            return json_reply(_content_reply({}, []))
        asked = ReadRequest(_organization(inner, call.caller), notifications)
        actor = call.audit.actor
        admit = call.reservation.admit_for((actor.kind, actor.id, asked.organization))
        found = services.read_notifications.read(call.caller, asked, call.deadline, call.audit, admit)
        withheld = services.settings.withheld_headline
        return json_reply(_content_reply(found, _stubs(withheld, notifications, found) if withheld else []))

    def delete(call: Call[Reader]) -> Reply:
        body = _inner(_counted_body(services, call))
        notification = as_notification_id(body.get("notificationId"))
        if not notification:
            raise InvalidArgument("notificationId must be a string")
        organization = _organization(body, call.caller)
        services.read_notifications.delete(call.caller, organization, notification, call.audit)
        return json_reply({"success": True, "statusCode": 200})

    def preflight(call: Call[None]) -> Reply:
        return Reply(status=204, headers=tuple(cors.preflight(call.request.headers.get("origin"))))

    for handle in (get, delete):
        path = PREFIX + handle.__name__
        yield Route("POST", path, handle.__name__, handle)
        yield Route("OPTIONS", path, f"{handle.__name__} preflight", preflight)


def cors_of(settings: Settings) -> Cors:
    return Cors(settings.cors_origins, bool(settings.token.cookie))


def _counted_body(services: Services, call: Call[Reader]) -> JSON:
    """Count an end user's call, and return its body. A call with an invalid body counts too. Raises
    TooManyCalls."""
    if services.calls is None or not isinstance(call.caller, EndUser):
        return read_json(call.request)
    body: JSON = {}
    try:
        body = read_json(call.request)
    finally:
        services.calls.count(call.caller.user, _budget(body, call.caller))
    return body


def _budget(body: JSON, who: EndUser) -> str:
    """Return the organization whose budget the call counts in; empty if the token doesn't hold it."""
    try:
        organization = _organization(_inner(body), who)
    except InvalidArgument:
        return ""
    return organization if organization in who.organizations else ""


def _stubs(withheld: str, asked: Iterable[str], found: Found) -> list[JSON]:
    """Build a placeholder for each absent id. It is the same for every reason of absence."""
    absent = [id_ for id_ in asked if id_ not in found]
    return [{"notificationId": id_, "displayHeadlineMessageTemplate": withheld} for id_ in absent]


def _inner(body: JSON) -> JSON:
    """Unwrap the request: some SDK versions wrap it in `data`."""
    inner = body.get("data")
    return inner if isinstance(inner, dict) else body


def _notification_ids(body: JSON) -> list[str]:
    given = body.get("notificationIds")
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MOST_IDS:
        raise InvalidArgument(f"notificationIds must be a list of at most {MOST_IDS} strings")
    ids = given if set(map(type, given)) == {str} else list(map(as_notification_id, given))
    if None in ids:
        raise InvalidArgument("notificationIds must be strings")
    return list(dict.fromkeys(filter(None, ids)))


def _organization(body: JSON, who: Reader) -> str:
    """Find the organization: at the top level; else in the metadata that some SDK versions send, the client's
    own id first; else the only one of the token. It is never "any organization"."""
    metadata = body.get("metadata")
    places = [body.get("organizationId")]
    if isinstance(metadata, dict):
        places += [metadata.get("clientOrganizationId"), metadata.get("organizationId")]
    for organization in places:
        if organization is None or organization == "":
            continue
        if not isinstance(organization, str):
            raise InvalidArgument("organizationId must be a string")
        return organization
    if isinstance(who, EndUser) and len(who.organizations) == 1:
        return next(iter(who.organizations))
    raise InvalidArgument("organizationId is required")


def _content_reply(found: Found, stubs: Iterable[JSON]) -> bytes | Spliced:
    """Build the reply from the records' bytes, without parsing content."""
    pieces: list[bytes | memoryview] = []
    size = sum(map(len, found.values()))
    for name, content in zip(_encoded(found), found.values(), strict=True):
        end = b'",' if len(content) > len(b"{}") else b'"'
        # Large content is not copied; for small content, a copy is faster than a view.
        rest = content[1:] if len(content) < _VIEW_FROM_BYTES else memoryview(content)[1:]
        pieces += (b',"', name, b'":{"notificationId":"', name, end, rest)
    for stub in stubs:
        pieces += (b",", orjson.dumps(stub["notificationId"]), b":", orjson.dumps(stub))
    if pieces:
        pieces[0] = pieces[0][1:]
    pieces = [b'{"data":{', *pieces, b'},"success":true,"statusCode":200}']
    return b"".join(pieces) if size < SMALL_REPLY else Spliced(pieces)


def _encoded(ids: Iterable[str]) -> list[bytes]:
    """Encode ids as JSON strings without quotes, all in one call: indentation puts each on its own line, and
    a JSON string holds no line break."""
    lines = orjson.dumps(list(ids), option=orjson.OPT_INDENT_2)
    return lines[5:-3].split(b'",\n  "') if len(lines) > 2 else []
