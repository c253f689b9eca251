"""/v2/notifications/update"""

from collections.abc import Iterator

from resolver.sandbox.access import Access
from resolver.sandbox.adding import CONTENT
from resolver.sandbox.answers import reports
from resolver.sandbox.errors import VeltError, invalid
from resolver.sandbox.records import Record
from resolver.sandbox.replies import Success
from resolver.sandbox.scope import Scope
from resolver.sandbox.state import State
from resolver.sandbox.validation import (
    Check,
    Fields,
    Json,
    filled_list_of,
    flag,
    list_of,
    map_of,
    mapping,
    text,
    user,
)

_CHECKS: dict[str, Check[object]] = {
    **CONTENT,
    "actionUser": user,
    "readByUserIds": list_of(text),
    "persistReadForUsers": flag,
}
_IDENTITY = {"id", "notificationId", "organizationId", "documentId", "notificationSource", "timestamp"}
_STRIPPED = {"isRead", "isArchived", "isNotificationResolverUsed"}
_READ_STATE = {"readByUserIds", "persistReadForUsers"}
_TEXTS = ("displayHeadlineMessageTemplate", "displayBodyMessage")
_OUTCOMES = {True: "Notification updated.", False: "Failed to update notification."}


def update(state: State, data: Fields) -> Success:
    scope = Scope.read(data)
    verified = data.is_set("verifyUserPermissions")
    changes = list(_changes(data))
    if state.answers.blankUpdate == "refused" and any(map(_has_blank_text, changes)):
        raise invalid("displayBodyMessage must not be empty")
    results = {}
    for notification_id, fields in changes:
        record = state.records.find(scope.organization_id, notification_id)
        found = record is not None and scope.holds(record, state.access)
        if not found and state.answers.unknownUpdate == "refuse":
            raise VeltError("NOT_FOUND", "Notification not found.")
        if record and found:
            _apply(record, fields, state.access if verified else None)
        said = reports(state.answers.unknownUpdate, known=found)
        results[notification_id] = {"success": said, "message": _OUTCOMES[said]}
    return Success("Notification(s) updated successfully.", results)


def _has_blank_text(change: tuple[str, Json]) -> bool:
    return any(change[1].get(name) == "" for name in _TEXTS)


def _changes(data: Fields) -> Iterator[tuple[str, Json]]:
    """Velt's documents disagree about the shape of `notifications`; every one of theirs is read."""
    for path, entry in _entries(data.required("notifications", _container)):
        fields = Fields(entry, path)
        by_long_name = "id" not in entry and "notificationId" in entry
        notification_id = fields.required("notificationId" if by_long_name else "id", text)
        fields.optionals(_CHECKS)
        yield notification_id, entry


def _container(value: object, path: str) -> list[Json] | Json:
    if isinstance(value, list):
        return filled_list_of(mapping)(value, path)
    if not mapping(value, path):
        raise invalid(f"{path} must not be empty")
    return mapping(value, path)


def _entries(container: list[Json] | Json) -> Iterator[tuple[str, Json]]:
    if isinstance(container, list):
        yield from ((f"notifications[{position}]", entry) for position, entry in enumerate(container))
    elif any(isinstance(container.get(name), str) for name in ("id", "notificationId")):
        yield "notifications", container
    else:
        for key, fields in map_of(mapping)(container, "notifications").items():
            yield f"notifications.{key}", {**fields, "id": key}


def _apply(record: Record, fields: Json, verifier: Access | None) -> None:
    kept_out = _IDENTITY | _STRIPPED | _READ_STATE
    record.sent.update({name: value for name, value in fields.items() if name not in kept_out})
    persists = fields.get("persistReadForUsers", False)
    for user_id in fields.get("readByUserIds", []):
        if verifier is None or verifier.can_open(record.organization_id, record.document_id, user_id):
            record.read[user_id] = persists
