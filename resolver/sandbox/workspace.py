"""/v2/workspace/notificationconfig/get and /update: the workspace's notification service."""

from resolver.sandbox.errors import invalid
from resolver.sandbox.replies import Success
from resolver.sandbox.state import State
from resolver.sandbox.validation import Check, Fields, Json, flag, integer, map_of, mapping

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
    """Answers what is stored and nothing else: a part that was never set or seeded is absent."""
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
    """Velt lists its default triggers nowhere; suggestions are left out since they are opt-in."""
    return {"comment": dict.fromkeys(_COMMENT_EVENTS, True), "huddle": dict.fromkeys(_HUDDLE_EVENTS, True)}


def _merged(stored: Json, requested: Json) -> Json:
    merged = dict(stored)
    for name, value in requested.items():
        both = isinstance(value, dict) and isinstance(stored.get(name), dict)
        merged[name] = _merged(stored[name], value) if both else value
    return merged


def _nested(known: dict[str, Check[object]]) -> Check[Json]:
    """An object whose known fields have a type; the others pass, unless they are null."""

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
