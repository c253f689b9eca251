"""/v2/notifications/get, and a user's feed in the browser."""

import re

from resolver.sandbox.records import Record
from resolver.sandbox.replies import Success, invalid
from resolver.sandbox.scope import Scope, is_for_you, sees
from resolver.sandbox.state import Answers, State
from resolver.sandbox.validation import Fields, Json, integer, list_of, one_of, text

ID_LIMIT = 30
_DEFAULT_PAGE = 1000
_TOKEN = re.compile(r"p([0-9]{1,16})")
_MAX_INTEGER = 2**53 - 1
_INVENTED = {
    "displayHeadlineMessageTemplate": "{actionUser} sent you a notification",
    "displayBodyMessage": "",
}
_COPIED = (
    "notificationSourceData",
    "actionUser",
    "displayHeadlineMessageTemplate",
    "displayHeadlineMessageTemplateData",
    "displayBodyMessage",
    "displayBodyMessageTemplate",
    "displayBodyMessageTemplateData",
)


def get(state: State, data: Fields) -> Success:
    scope = Scope.read(data)
    if scope.document_id is None and scope.user_id is None:
        raise invalid("documentId or userId is required")
    newest_first = data.optional("order", one_of("asc", "desc")) != "asc"
    wanted = [record for record in _candidates(state, data, scope) if scope.holds(record, state.access)]
    wanted.sort(key=lambda record: record.sequence, reverse=newest_first)
    page, token = _page(wanted, data, newest_first)
    items = [_as_answered(item(record, state.api_key), record, state.answers) for record in page]
    return Success("Notification(s) retrieved successfully.", items, token)


def item(record: Record, api_key: str) -> Json:
    copied = {name: record.sent[name] for name in _COPIED if name in record.sent}
    return {
        "id": record.id,
        "notificationSource": record.source,
        **copied,
        "metadata": _metadata(record, api_key),
        "notifyUsers": list(record.people.values()),
        "notifyUsersByUserId": record.people,
        "timestamp": record.timestamp,
    }


def _as_answered(item: Json, record: Record, answers: Answers) -> Json:
    if answers.displayFields == "invented":
        user = record.sent["actionUser"]["userId"]
        item = {**_INVENTED, **item, "actionUser": {"name": user, **record.sent["actionUser"]}}
    if answers.getFlag:
        item["isNotificationResolverUsed"] = record.sent.get("isNotificationResolverUsed", False)
    return {name: value for name, value in item.items() if answers.getSource or name != "notificationSource"}


def _candidates(state: State, data: Fields, scope: Scope) -> list[Record]:
    ids = data.optional("notificationIds", list_of(text))
    seen = state.records.of_a_moment_ago(scope.organization_id, state.answers.lagMs)
    if not ids:
        return seen
    if len(ids) > ID_LIMIT:
        raise invalid(f"notificationIds may hold at most {ID_LIMIT} ids")
    return [record for record in seen if record.id in ids]


def _page(wanted: list[Record], data: Fields, newest_first: bool) -> tuple[list[Record], str | None]:
    """Cut out a page. A token names the last notification returned, so new ones do not shift the pages."""
    size = data.optional("pageSize", integer(1, _MAX_INTEGER)) or _DEFAULT_PAGE
    last = data.optional("pageToken", _page_token)
    if last is not None:
        wanted = [r for r in wanted if (r.sequence < last if newest_first else r.sequence > last)]
    page = wanted[:size]
    return page, (f"p{page[-1].sequence}" if len(wanted) > size else None)


def _page_token(value: object, path: str) -> int:
    token = _TOKEN.fullmatch(text(value, path))
    if token is None:
        raise invalid(f"{path} is not a page token of this API")
    return int(token[1])


def _metadata(record: Record, api_key: str) -> Json:
    ids = {"apiKey": api_key, "documentId": record.document_id, "organizationId": record.organization_id}
    location = {} if record.location_id is None else {"locationId": record.location_id}
    return {**record.sent.get("metadata", {}), **location, **ids}


def inbox(state: State, organization_id: str, user_id: str) -> list[Json]:
    """List a user's feed, newest first, as the browser SDK gets it, with the fields that the SDK computes."""
    newest_first = reversed(state.records.of(organization_id))
    return [_feed_item(state, r, user_id) for r in newest_first if sees(r, user_id, state.access)]


def _feed_item(state: State, record: Record, user_id: str) -> Json:
    resolved = record.sent.get("isNotificationResolverUsed", False)
    return {
        **item(record, state.api_key),
        **({"isNotificationResolverUsed": True} if resolved else {}),
        "isUnread": user_id not in record.read,
        "forYou": is_for_you(record, user_id, state.access),
    }
