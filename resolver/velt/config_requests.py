"""Schemas of Velt's configuration endpoints: a user's preferences, and the workspace's service settings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, validates_schema
from marshmallow.fields import Nested

from resolver.validation.fields import Flag, Identifier, Identifiers, Mapped, Strict, Whole
from resolver.validation.spelling import folded
from resolver.velt.schema import JSON, Request, UnknownKeys

_VELT_CHANNELS = ("inbox", "email", "slack")
_MAX_NAME = 128
_PREFERENCES = ("ALL", "MINE", "NONE")
_NAME: JSON = {"type": "string", "minLength": 1, "maxLength": _MAX_NAME}


class _Preferences(Mapped):
    """Velt's three channels have fixed values; a workspace's own channels may have others."""

    described: Mapping[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string", "enum": list(_PREFERENCES)} for name in _VELT_CHANNELS},
        "propertyNames": _NAME,
        "additionalProperties": {"type": "string", "maxLength": _MAX_NAME},
    }

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
    if (known := folded(channel)) in _VELT_CHANNELS:
        return f"is no channel; did you mean {known}?"
    if not 0 < len(channel) <= _MAX_NAME:
        return f"is not a name of 1 to {_MAX_NAME} characters"
    return None if isinstance(choice, str) and len(choice) <= _MAX_NAME else "must be a short string"


class _ConfigSet(Request):
    organizationId = Identifier(required=True)
    userIds = Identifiers(required=True, least=1)
    config = _Preferences(required=True)
    # Absent means the whole organization; an empty list is refused as a likely mistake.
    documentIds = Identifiers(least=1)


class _ConfigGet(Request):
    """Documents are optional, as in the samples of Velt's SDKs, which name only the user."""

    unknown_keys = UnknownKeys.IGNORED
    narrowing = frozenset({"organizationId", "userId", "documentIds"})

    organizationId = Identifier(required=True)
    userId = Identifier()
    documentIds = Identifiers(least=1, most=30)
    getOrganizationConfig = Flag()

    between: ClassVar[JSON] = {"allOf": [{"required": ["userId"]}]}

    @validates_schema
    def _needs_a_user(self, data: JSON, **_: Any) -> None:
        if "userId" not in data:
            raise ValidationError(
                "userId is required when getOrganizationConfig is true"
                if data.get("getOrganizationConfig")
                else "userId is required"
            )


class _Triggers(Strict):
    described: Mapping[str, Any] = {
        "type": "object",
        "propertyNames": _NAME,
        "additionalProperties": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": {"type": "boolean"},
        },
    }
    expected = "must be an object of objects with values true or false; each name has 1 to 128 characters"

    def holds(self, value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(isinstance(events, dict) for events in value.values())
            and all(isinstance(on, bool) for events in value.values() for on in events.values())
            and all(0 < len(name) <= _MAX_NAME for name in (*value, *chain(*value.values())))
        )


class _Delay(Request):
    isEnabled = Flag()
    delaySeconds = Whole(10, 15_552_000)


class _Batch(Request):
    isEnabled = Flag()
    batchWindowSeconds = Whole(10, 604_800)
    maxActivities = Whole(2, 50)


def _nested(schema: type[Schema]) -> Nested:
    wrong = "must be an object"
    inner = schema()
    inner.error_messages = {**inner.error_messages, "type": wrong}
    return Nested(inner, error_messages={"null": wrong})


class _BatchConfig(Request):
    document = _nested(_Batch)
    user = _nested(_Batch)


class _ServiceConfig(Request):
    triggers = _Triggers()
    delayConfig = _nested(_Delay)
    batchConfig = _nested(_BatchConfig)


class _WorkspaceUpdate(Request):
    useNotificationService = Flag()
    notificationServiceConfig = _nested(_ServiceConfig)

    between: ClassVar[JSON] = {
        "anyOf": [{"required": ["useNotificationService"]}, {"required": ["notificationServiceConfig"]}]
    }

    @validates_schema
    def _needs_one(self, data: JSON, **_: Any) -> None:
        if not data:
            raise ValidationError(
                "At least one of useNotificationService or notificationServiceConfig must be provided"
            )


class _WorkspaceGet(Request):
    unknown_keys = UnknownKeys.IGNORED


CONFIG_SET, CONFIG_GET = _ConfigSet(), _ConfigGet()
WORKSPACE_GET, WORKSPACE_UPDATE = _WorkspaceGet(), _WorkspaceUpdate()
