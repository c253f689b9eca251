"""Settings: /v2/notifications/config/set and /get (a user's channels, per document or organization), and
/v2/workspace/notificationconfig/get and /update (the workspace's notification service)."""

from resolver.sandbox.replies import Success, invalid
from resolver.sandbox.state import State
from resolver.sandbox.validation import (
    Check,
    Fields,
    Json,
    filled_list_of,
    flag,
    integer,
    map_of,
    mapping,
    one_of,
    text,
)

_DOCUMENT_LIMIT = 30
_SET = "User config set successfully."


def set_config(state: State, data: Fields) -> Success:
    """Set channels for documents, or without documents the user's default for the organization."""
    organization_id = data.required("organizationId", text)
    user_ids = data.required("userIds", filled_list_of(text))
    channels = data.required("config", map_of(one_of("ALL", "MINE", "NONE")))
    document_ids = data.optional("documentIds", filled_list_of(text))
    for user_id in user_ids:
        for level in document_ids or (None,):
            state.preferences.setdefault((organization_id, user_id, level), {}).update(channels)
    return Success(_SET, {user_id: _confirmation(user_id, document_ids) for user_id in user_ids})


def get_config(state: State, data: Fields) -> Success:
    """Get channels. Without documents, get the user's default for the organization: Velt's SDKs make that
    call, but its documentation doesn't say what they get."""
    organization_id = data.required("organizationId", text)
    of_organization = data.optional("getOrganizationConfig", flag) is True
    if of_organization and "userId" not in data.values:
        raise invalid("userId is required when getOrganizationConfig is true")
    user_id = data.required("userId", text)
    document_ids = _document_ids(data)
    levels: list[str | None] = [None] if of_organization or not document_ids else []
    levels += document_ids
    entries = [_entry(state, organization_id, user_id, level) for level in levels]
    return Success("User config fetched successfully.", [entry for entry in entries if entry["config"]])


def _document_ids(data: Fields) -> list[str]:
    document_ids = data.optional("documentIds", filled_list_of(text)) or []
    if len(document_ids) > _DOCUMENT_LIMIT:
        raise invalid(f"documentIds may hold at most {_DOCUMENT_LIMIT} ids")
    return list(dict.fromkeys(document_ids))


def _confirmation(user_id: str, document_ids: list[str] | None) -> Json:
    """Velt's reply has one entry per user, so of several documents it names only the last."""
    document = {"documentId": document_ids[-1]} if document_ids else {}
    return {"success": True, "userId": user_id, **document, "message": _SET}


def _entry(state: State, organization_id: str, user_id: str, document_id: str | None) -> Json:
    default = state.preferences.get((organization_id, user_id, None), {})
    own = state.preferences.get((organization_id, user_id, document_id), {})
    document = {} if document_id is None else {"documentId": document_id}
    metadata = {"organizationId": organization_id, "apiKey": state.api_key, **document, "userId": user_id}
    return {"config": {**default, **own}, "metadata": metadata}


_ENABLED = "useNotificationService"
_CONFIG = "notificationServiceConfig"
_NOTHING_GIVEN = f"At least one of {_ENABLED} or {_CONFIG} must be provided"

_COMMENT_EVENTS = (
    "newlyAdded",
    "added",
    "updated",
    "deleted",
    "approved",
    "assigned",
    "reactionAdded",
    "reactionDeleted",
    "statusChanged",
    "priorityChanged",
    "accessModeChanged",
    "accepted",
    "rejected",
    "customListChanged",
    "subscribed",
    "unsubscribed",
)
_HUDDLE_EVENTS = ("created", "join")


def get_workspace(state: State, _data: Fields) -> Success:
    """Return only what is stored: a part that was never set or seeded is absent."""
    return Success("Notification configuration retrieved successfully.", state.workspace)


def update_workspace(state: State, data: Fields) -> Success:
    if not data.values.keys() & {_ENABLED, _CONFIG}:
        raise invalid(_NOTHING_GIVEN)
    enabled = data.optional(_ENABLED, flag)
    requested = data.optional(_CONFIG, _service_config) or {}
    stored = mapping(state.workspace[_CONFIG], _CONFIG)
    if enabled and "triggers" not in stored:
        stored = {**stored, "triggers": _seed()}
    state.workspace[_CONFIG] = _merged(stored, requested)
    state.workspace[_ENABLED] = state.workspace[_ENABLED] if enabled is None else enabled
    return Success("Notification configuration updated successfully.", state.workspace)


def _seed() -> Json:
    """Build default triggers, which Velt doesn't document. Suggestions are omitted, since they are opt-in."""
    return {"comment": dict.fromkeys(_COMMENT_EVENTS, True), "huddle": dict.fromkeys(_HUDDLE_EVENTS, True)}


def _merged(stored: Json, requested: Json) -> Json:
    merged = dict(stored)
    for name, value in requested.items():
        both = isinstance(value, dict) and isinstance(stored.get(name), dict)
        merged[name] = _merged(stored[name], value) if both else value
    return merged


def _nested(known: dict[str, Check[object]]) -> Check[Json]:
    """Check an object: known fields have a type, other fields may be anything but null."""

    def check(value: object, path: str) -> Json:
        checked = map_of(_present)(value, path)
        return checked | {
            name: known[name](checked[name], f"{path}.{name}") for name in known.keys() & checked
        }

    return check


def _present(value: object, path: str) -> object:
    if value is None:
        raise invalid(f"{path} must not be null")
    return value


_window = _nested(
    {"isEnabled": flag, "batchWindowSeconds": integer(10, 604_800), "maxActivities": integer(2, 50)}
)
_service_config = _nested(
    {
        "triggers": map_of(map_of(flag)),
        "delayConfig": _nested({"isEnabled": flag, "delaySeconds": integer(10, 15_552_000)}),
        "batchConfig": _nested({"document": _window, "user": _window}),
    }
)
