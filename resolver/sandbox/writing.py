"""/v2/notifications/add, /update and /delete"""

import re
from collections.abc import Iterator

from resolver.sandbox.access import Access
from resolver.sandbox.records import Record, new_id
from resolver.sandbox.replies import Success, VeltError, invalid
from resolver.sandbox.scope import Scope, location
from resolver.sandbox.state import State, reports
from resolver.sandbox.validation import (
    Check,
    Fields,
    Json,
    filled_list_of,
    flag,
    list_of,
    map_of,
    mapping,
    string,
    text,
    user,
)

_ID = re.compile(r"[A-Za-z0-9_-]+")
_MESSAGE = "Notification added successfully."
_CONTEXT_LIMIT = 200


def notification_id(value: object, path: str) -> str:
    if not _ID.fullmatch(text(value, path)):
        raise invalid(f"{path} may hold letters, digits, _ and - only")
    return str(value)


def context(value: object, path: str) -> Json:
    access = Fields(mapping(value, path), path).required("access", mapping)
    if len(access) > _CONTEXT_LIMIT:
        raise invalid(f"{path}.access may hold at most {_CONTEXT_LIMIT} fields")
    for name, item in access.items():
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise invalid(f"{path}.access.{name} must be a string or a number")
    return access


CONTENT: dict[str, Check[object]] = {
    "displayHeadlineMessageTemplate": string,
    "displayHeadlineMessageTemplateData": mapping,
    "displayBodyMessage": string,
    "displayBodyMessageTemplate": string,
    "displayBodyMessageTemplateData": mapping,
    "notificationSourceData": mapping,
    "metadata": mapping,
    "location": mapping,
    "context": context,
    "notifyUsers": list_of(user),
}
"""Fields of both an add and an update."""

_DIRECTIVES: dict[str, Check[object]] = {
    "createOrganization": flag,
    "createDocument": flag,
    "verifyUserPermissions": flag,
    "isNotificationResolverUsed": flag,
    "isCrossOrganizationEnabled": flag,
    "notifyAll": flag,
    "notificationSource": text,
    "notificationId": notification_id,
    "locationId": location,
}


def add(state: State, data: Fields) -> Success:
    _check(data)
    _check_people(state, data)
    organization_id, document_id = data.values["organizationId"], data.values["documentId"]
    wanted = {kind for kind in ("organization", "document") if data.is_set(f"create{kind.title()}")}
    state.access.enter(organization_id, document_id, wanted)
    verified = data.is_set("verifyUserPermissions")
    admitted = state.access.readers(organization_id, document_id) if verified else None
    _store(state, Record(data.values.get("notificationId") or new_id(), dict(data.values), admitted))
    return Success(_MESSAGE, {"success": True, "message": _MESSAGE})


def _check_people(state: State, data: Fields) -> None:
    """Check `notifyUsers` as declared: Velt doesn't document whether it may be absent or empty."""
    people = data.values.get("notifyUsers")
    if people is None and state.answers.addWithoutUsers == "refused":
        raise invalid("notifyUsers is required")
    if people == [] and state.answers.addWithEmptyUsers == "refused":
        raise invalid("notifyUsers must not be empty")


def _store(state: State, record: Record) -> None:
    again = state.records.find(record.organization_id, record.id) is not None
    if again and state.answers.addAgain == "refuse":
        raise VeltError("ALREADY_EXISTS", "Notification already exists.", 409)
    if not (again and state.answers.addAgain == "keep"):
        state.records.put(record, beside=state.answers.addAgain == "duplicate")


def _check(data: Fields) -> None:
    data.required("organizationId", text)
    data.required("documentId", text)
    data.required("actionUser", user)
    data.optionals(_DIRECTIVES)
    data.optionals(CONTENT)
    if not data.is_set("isNotificationResolverUsed"):
        data.required("displayHeadlineMessageTemplate", text)
        data.required("displayBodyMessage", text)
    if data.optional("notifyAll", flag) is False:
        data.required("notifyUsers", list_of(user))


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
_DELETED = {True: "Notification deleted.", False: "Failed to delete notification."}
_UPDATED = {True: "Notification updated.", False: "Failed to update notification."}


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
        results[notification_id] = {"success": said, "message": _UPDATED[said]}
    return Success("Notification(s) updated successfully.", results)


def _has_blank_text(change: tuple[str, Json]) -> bool:
    return any(change[1].get(name) == "" for name in _TEXTS)


def _changes(data: Fields) -> Iterator[tuple[str, Json]]:
    """Read `notifications` in each of the shapes that Velt's documents have."""
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
    unchanged = _IDENTITY | _STRIPPED | _READ_STATE
    record.sent.update({name: value for name, value in fields.items() if name not in unchanged})
    persists = fields.get("persistReadForUsers", False)
    for user_id in fields.get("readByUserIds", []):
        if verifier is None or verifier.can_open(record.organization_id, record.document_id, user_id):
            record.read[user_id] = persists


def delete(state: State, data: Fields) -> Success:
    """Delete ids, or the whole scope without ids. An empty list counts as no ids, as at Velt: a trap that is
    kept on purpose."""
    scope = Scope.read(data)
    ids = data.optional("notificationIds", list_of(text)) or []
    in_scope = {r.id: r for r in state.records.of(scope.organization_id) if scope.holds(r, state.access)}
    if state.answers.unknownDelete == "refuse" and not in_scope.keys() >= set(ids):
        raise VeltError("NOT_FOUND", "Notification not found.")
    whose = scope.user_id if state.answers.deleteForUser == "copy" else None
    results = {wanted: _outcome(state, in_scope.get(wanted), whose) for wanted in ids or in_scope}
    return Success("Notification(s) deleted successfully.", results)


def _outcome(state: State, record: Record | None, whose: str | None) -> dict[str, object]:
    if record is not None and whose:
        record.take_out(whose)
    if record is not None and not (whose and record.has_readers):
        state.records.remove(record)
    deleted = reports(state.answers.unknownDelete, known=record is not None)
    return {"success": deleted, "message": _DELETED[deleted]}
