"""Schemas of Velt's four notification endpoints: every documented type and limit, checked before sending.

`parse` returns only documented keys, so that no other is sent to Velt. Adds and the entries of updates keep
unknown keys: there they are content (`field_allow_list.py`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import INCLUDE, ValidationError, validates_schema

from resolver.errors import InvalidArgument
from resolver.validation.fields import (
    LARGEST_EXACT,
    Filled,
    Flag,
    Identifier,
    Identifiers,
    Mapped,
    OneOf,
    People,
    Person,
    Text,
    Whole,
)
from resolver.validation.spelling import misspelt
from resolver.velt.schema import (
    Context,
    Location,
    LocationId,
    NotificationId,
    NotificationIds,
    Request,
    UnknownKeys,
    parse,
    parse_all,
)

__all__ = (
    "ADD",
    "DELETE",
    "ENTRY",
    "GET",
    "MAX_ENTRIES",
    "UPDATE",
    "belongs_in_data",
    "parse",
    "parse_update",
)

JSON = dict[str, Any]
MAX_ENTRIES = 1000

_RESOLVED: JSON = {
    "required": ["isNotificationResolverUsed"],
    "properties": {"isNotificationResolverUsed": {"const": True}},
}
_EVERYONE_OR_ABSENT: JSON = {"properties": {"notifyAll": {"const": True}}}
_NAMED_USERS: JSON = {"required": ["notifyUsers"], "properties": {"notifyUsers": {"minItems": 1}}}


class _Add(Request):
    unknown_keys = UnknownKeys.CONTENT

    class Meta:
        unknown = INCLUDE

    organizationId = Identifier(required=True)
    documentId = Identifier(required=True)
    actionUser = Person(required=True)
    notifyUsers = People()
    notifyAll = Flag()
    verifyUserPermissions = Flag()
    createOrganization = Flag()
    createDocument = Flag()
    isCrossOrganizationEnabled = Flag()
    notificationId = NotificationId()
    isNotificationResolverUsed = Flag()
    notificationSource = OneOf("custom")
    displayHeadlineMessageTemplate = Text()
    displayHeadlineMessageTemplateData = Mapped()
    displayBodyMessage = Text()
    displayBodyMessageTemplate = Text()
    displayBodyMessageTemplateData = Mapped()
    notificationSourceData = Mapped()
    context = Context()
    locationId = LocationId()
    location = Location()
    metadata = Mapped()

    between: ClassVar[JSON] = {
        "allOf": [
            {"anyOf": [{"required": ["displayHeadlineMessageTemplate", "displayBodyMessage"]}, _RESOLVED]},
            {"anyOf": [_EVERYONE_OR_ABSENT, _NAMED_USERS]},
        ]
    }

    @validates_schema
    def _needs_text(self, data: JSON, **_: Any) -> None:
        if data.get("isNotificationResolverUsed"):
            return
        for name in ("displayHeadlineMessageTemplate", "displayBodyMessage"):
            if name not in data:
                raise ValidationError("is required unless isNotificationResolverUsed is true", name)

    @validates_schema
    def _needs_recipient(self, data: JSON, **_: Any) -> None:
        if data.get("notifyAll") is False and not data.get("notifyUsers"):
            raise ValidationError("is required when notifyAll is false", "notifyUsers")


class _UpdateEntry(Request):
    """Null removes a content key; structural keys don't accept it."""

    unknown_keys = UnknownKeys.CONTENT
    misplaced = frozenset({"documentId", "locationId", "userId", "verifyUserPermissions"})

    class Meta:
        unknown = INCLUDE

    id = NotificationId(required=True)
    actionUser = Person()
    notifyUsers = People()
    notifyAll = Flag()
    context = Context()
    readByUserIds = Identifiers()
    persistReadForUsers = Flag()
    location = Location(allow_none=True)
    metadata = Mapped(allow_none=True)
    displayHeadlineMessageTemplate = Text(allow_none=True)
    displayHeadlineMessageTemplateData = Mapped(allow_none=True)
    displayBodyMessage = Text(allow_none=True)
    displayBodyMessageTemplate = Text(allow_none=True)
    displayBodyMessageTemplateData = Mapped(allow_none=True)
    notificationSourceData = Mapped(allow_none=True)

    between: ClassVar[JSON] = {
        "not": {
            "required": ["notifyAll", "notifyUsers"],
            "properties": {"notifyAll": {"const": False}, "notifyUsers": {"maxItems": 0}},
        }
    }

    @validates_schema
    def _needs_recipient(self, data: JSON, **_: Any) -> None:
        if data.get("notifyAll") is False and data.get("notifyUsers") == []:
            raise ValidationError("is required when notifyAll is false", "notifyUsers")


class _Update(Request):
    checked_elsewhere = frozenset({"notifications"})

    organizationId = Identifier(required=True)
    documentId = Identifier()
    locationId = LocationId()
    userId = Identifier()
    verifyUserPermissions = Flag()


class _Get(Request):
    unknown_keys = UnknownKeys.IGNORED
    narrowing = frozenset({"organizationId", "documentId", "userId", "locationId", "notificationIds"})

    organizationId = Identifier(required=True)
    documentId = Identifier()
    userId = Identifier()
    locationId = LocationId()
    # Not empty, here and in a delete: Velt might take an empty list for "all".
    notificationIds = NotificationIds(least=1, most=30)
    pageSize = Whole(1, LARGEST_EXACT)
    pageToken = Filled()
    order = OneOf("asc", "desc")

    between: ClassVar[JSON] = {"anyOf": [{"required": ["documentId"]}, {"required": ["userId"]}]}

    @validates_schema
    def _needs_a_scope(self, data: JSON, **_: Any) -> None:
        if not ("documentId" in data or "userId" in data):
            raise ValidationError("documentId or userId is required")


_BOUNDS = ("notificationIds", "documentId", "locationId", "userId")


class _Delete(Request):
    organizationId = Identifier(required=True)
    documentId = Identifier()
    locationId = LocationId()
    userId = Identifier()
    notificationIds = NotificationIds(least=1, most=MAX_ENTRIES)

    between: ClassVar[JSON] = {"anyOf": [{"required": [name]} for name in _BOUNDS]}

    @validates_schema
    def _needs_a_bound(self, data: JSON, **_: Any) -> None:
        if data.keys().isdisjoint(_BOUNDS):
            raise ValidationError(
                f"{', '.join(_BOUNDS[:-1])} or {_BOUNDS[-1]} is required; everything of an organization is "
                "removed by: resolver privacy erase --organization"
            )


ADD, GET, DELETE = _Add(), _Get(), _Delete()
ENTRY = _UpdateEntry()
UPDATE = _Update()
_NARROWING = GET.narrowing | {
    "documentIds",
    "userIds",
    "notificationId",
    "notifyUsers",
    "notifyAll",
    "verifyUserPermissions",
    "context",
}


def belongs_in_data(name: str) -> str | None:
    """Return the key inside `data` that a name beside `data` probably stands for, if it restricts the
    call."""
    return name if name in _NARROWING else misspelt(name, _NARROWING)


def parse_update(data: Any) -> tuple[JSON, list[JSON]]:
    """Parse filters and entries; the entries may have any of the four documented forms."""
    filters = parse(UPDATE, data)
    return filters, parse_all(ENTRY, _entries(data.get("notifications")))


def _entries(notifications: Any) -> list[JSON]:
    """List entries given as `[{id, …}]`, `[{notificationId, …}]`, `{id, …}` or `{<id>: {…}}`."""
    if isinstance(notifications, dict) and not _is_one_entry(notifications):
        notifications = [{**_require_object(entry), "id": name} for name, entry in notifications.items()]
    elif isinstance(notifications, dict):
        notifications = [notifications]
    if not isinstance(notifications, list) or not 0 < len(notifications) <= MAX_ENTRIES:
        raise InvalidArgument(f"notifications must be a list or an object of 1 to {MAX_ENTRIES} entries")
    return [_with_id(_require_object(entry)) for entry in notifications]


def _is_one_entry(candidate: JSON) -> bool:
    return any(isinstance(candidate.get(name), str) for name in ("id", "notificationId"))


def _with_id(entry: JSON) -> JSON:
    """Accept `notificationId` for `id`; with both, `id` counts."""
    entry = dict(entry)
    other = entry.pop("notificationId", None)
    return entry if "id" in entry or other is None else {**entry, "id": other}


def _require_object(entry: Any) -> JSON:
    if not isinstance(entry, dict):
        raise InvalidArgument("each of notifications must be an object")
    return entry
