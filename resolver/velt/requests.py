"""What each of Velt's endpoints takes: every documented type, enum and range, checked before sending.

`parse` gives back the documented keys alone, so that nothing undocumented can ride along to Velt; only an
add and the entries of an update keep unknown keys, because there they are content (`split.py`).
"""

from __future__ import annotations

import re
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, validates_schema
from marshmallow.fields import Nested

from resolver.errors import InvalidArgument
from resolver.fields import (
    LONGEST_ID,
    Flag,
    Identifier,
    Identifiers,
    Mapped,
    OneOf,
    People,
    Person,
    Strict,
    Text,
    Whole,
    is_identifier,
    sentence,
)

JSON = dict[str, Any]
_VELT_CHANNELS = ("inbox", "email", "slack")
_PREFERENCES = ("ALL", "MINE", "NONE")
_MOST_ENTRIES = 1000


def parse(schema: Schema, data: Any) -> JSON:
    if not isinstance(data, dict):
        raise InvalidArgument("data must be an object")
    try:
        loaded: JSON = schema.load(data)
    except ValidationError as error:
        raise InvalidArgument(sentence(error)) from None
    return loaded


class NotificationId(Strict):
    expected = f"may hold letters, digits, _ and - only, 1 to {LONGEST_ID} of them"

    def holds(self, value: Any) -> bool:
        return is_identifier(value) and re.fullmatch(r"[A-Za-z0-9_-]+", value) is not None


class Context(Strict):
    expected = "must be an object whose access is an object of at most 200 strings or numbers"

    def holds(self, value: Any) -> bool:
        access = value.get("access") if isinstance(value, dict) else None
        return isinstance(access, dict) and len(access) <= 200 and all(map(_is_scalar, access.values()))


class LocationId(Strict):
    """A string in REST, a number in the browser's types: Velt takes both."""

    expected = f"must be a number or a string of 1 to {LONGEST_ID} characters"

    def holds(self, value: Any) -> bool:
        return is_identifier(value) or (_is_scalar(value) and not isinstance(value, str))


class Location(Strict):
    expected = "must be an object; its id, and its version's id, are strings or numbers"

    def holds(self, value: Any) -> bool:
        return _has_scalar_id(value) and _has_scalar_id(value.get("version", {}))


class _Request(Schema):
    class Meta:
        unknown = EXCLUDE


class _Add(_Request):
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

    @validates_schema
    def _needs_text(self, data: JSON, **_: Any) -> None:
        if data.get("isNotificationResolverUsed"):
            return
        for name in ("displayHeadlineMessageTemplate", "displayBodyMessage"):
            if name not in data:
                raise ValidationError("is required unless isNotificationResolverUsed is true", name)

    @validates_schema
    def _needs_somebody(self, data: JSON, **_: Any) -> None:
        if data.get("notifyAll") is False and not data.get("notifyUsers"):
            raise ValidationError("is required when notifyAll is false", "notifyUsers")


class _UpdateEntry(_Request):
    """Null clears a content key; a structural key has nothing to clear."""

    class Meta:
        unknown = INCLUDE

    id = Identifier(required=True)
    actionUser = Person()
    notifyUsers = People()
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


class _Update(_Request):
    organizationId = Identifier(required=True)
    documentId = Identifier()
    locationId = LocationId()
    userId = Identifier()
    verifyUserPermissions = Flag()


class _Get(_Request):
    organizationId = Identifier(required=True)
    documentId = Identifier()
    userId = Identifier()
    locationId = LocationId()
    notificationIds = Identifiers(most=30)
    pageSize = Whole(1, 1000)
    pageToken = Text()
    order = OneOf("asc", "desc")

    @validates_schema
    def _needs_a_scope(self, data: JSON, **_: Any) -> None:
        if not ("documentId" in data or "userId" in data):
            raise ValidationError("documentId or userId is required")


class _Delete(_Request):
    organizationId = Identifier(required=True)
    documentId = Identifier()
    locationId = LocationId()
    userId = Identifier()
    # Never an empty list: to Velt that would read as "everything in the scope".
    notificationIds = Identifiers(least=1, most=_MOST_ENTRIES)


class _Preferences(Mapped):
    """A channel of the workspace's own may take values of its own; Velt's three may not."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> JSON:
        config: JSON = super()._deserialize(value, *args, **kwargs)
        wrong = {
            name: [problem] for name, choice in config.items() if (problem := _channel_problem(name, choice))
        }
        if wrong:
            raise ValidationError(wrong)
        return config


def _channel_problem(channel: str, choice: Any) -> str | None:
    if channel in _VELT_CHANNELS:
        return None if choice in _PREFERENCES else f"must be one of {', '.join(_PREFERENCES)}"
    return None if isinstance(choice, str) else "must be a string"


class _ConfigSet(_Request):
    organizationId = Identifier(required=True)
    userIds = Identifiers(required=True, least=1)
    config = _Preferences(required=True)
    # Absent means the whole organization; an empty list is more likely a mistake than a wish for that.
    documentIds = Identifiers(least=1)


class _ConfigGet(_Request):
    organizationId = Identifier(required=True)
    userId = Identifier()
    documentIds = Identifiers(least=1, most=30)
    getOrganizationConfig = Flag()

    @validates_schema
    def _needs_a_user(self, data: JSON, **_: Any) -> None:
        wants_organization = data.get("getOrganizationConfig")
        if "userId" not in data:
            raise ValidationError(
                "userId is required when getOrganizationConfig is true"
                if wants_organization
                else "userId is required"
            )
        if not wants_organization and "documentIds" not in data:
            raise ValidationError("documentIds is required unless getOrganizationConfig is true")


class _Triggers(Strict):
    expected = "must be an object of objects of true or false"

    def holds(self, value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(events, dict) and all(isinstance(on, bool) for on in events.values())
            for events in value.values()
        )


class _Delay(_Request):
    isEnabled = Flag()
    delaySeconds = Whole(10, 15_552_000)


class _Batch(_Request):
    isEnabled = Flag()
    batchWindowSeconds = Whole(10, 604_800)
    maxActivities = Whole(2, 50)


def _nested(schema: type[Schema]) -> Nested:
    wrong = "must be an object"
    return Nested(schema, error_messages={"type": wrong, "null": wrong})


class _BatchConfig(_Request):
    document = _nested(_Batch)
    user = _nested(_Batch)


class _ServiceConfig(_Request):
    triggers = _Triggers()
    delayConfig = _nested(_Delay)
    batchConfig = _nested(_BatchConfig)


class _WorkspaceUpdate(_Request):
    useNotificationService = Flag()
    notificationServiceConfig = _nested(_ServiceConfig)

    @validates_schema
    def _needs_one(self, data: JSON, **_: Any) -> None:
        if not data:
            raise ValidationError(
                "At least one of useNotificationService or notificationServiceConfig must be provided"
            )


ADD, GET, DELETE = _Add(), _Get(), _Delete()
CONFIG_SET, CONFIG_GET = _ConfigSet(), _ConfigGet()
WORKSPACE_GET, WORKSPACE_UPDATE = _Request(), _WorkspaceUpdate()
_UPDATE, _ENTRY = _Update(), _UpdateEntry()


def parse_update(data: Any) -> tuple[JSON, list[JSON]]:
    """The filters, and the entries, whichever of the four documented forms they came in."""
    filters = parse(_UPDATE, data)
    entries = [parse(_ENTRY, entry) for entry in _entries(data.get("notifications"))]
    return filters, entries


def _entries(notifications: Any) -> list[JSON]:
    """`[{id, …}]`, `[{notificationId, …}]`, `{id, …}` or `{<id>: {…}}`."""
    if isinstance(notifications, dict) and not _is_one_entry(notifications):
        notifications = [{**_object(entry), "id": name} for name, entry in notifications.items()]
    elif isinstance(notifications, dict):
        notifications = [notifications]
    if not isinstance(notifications, list) or not 0 < len(notifications) <= _MOST_ENTRIES:
        raise InvalidArgument(f"notifications must be a list or an object of 1 to {_MOST_ENTRIES} entries")
    return [_with_id(_object(entry)) for entry in notifications]


def _is_one_entry(candidate: JSON) -> bool:
    return any(isinstance(candidate.get(name), str) for name in ("id", "notificationId"))


def _with_id(entry: JSON) -> JSON:
    """An entry may call its id `notificationId`; where it has both, `id` is meant."""
    entry = dict(entry)
    other = entry.pop("notificationId", None)
    return entry if "id" in entry or other is None else {**entry, "id": other}


def _object(entry: Any) -> JSON:
    if not isinstance(entry, dict):
        raise InvalidArgument("each of notifications must be an object")
    return entry


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _has_scalar_id(value: Any) -> bool:
    return isinstance(value, dict) and ("id" not in value or _is_scalar(value["id"]))
