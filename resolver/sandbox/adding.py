"""/v2/notifications/add"""

import re

from resolver.sandbox.errors import VeltError, invalid
from resolver.sandbox.records import Record, new_id
from resolver.sandbox.replies import Success
from resolver.sandbox.scope import location
from resolver.sandbox.state import State
from resolver.sandbox.validation import Check, Fields, Json, flag, list_of, mapping, string, text, user

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
"""What an add and an update may both carry."""

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
    """Whether `notifyUsers` may be left out, or empty, Velt's documents don't say."""
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
