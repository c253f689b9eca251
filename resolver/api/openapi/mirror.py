"""Describe the Velt-compatible API: Velt's eight endpoints, called by backends."""

from __future__ import annotations

from typing import Any

from resolver.api.openapi.parts import body, closed, mirror_errors, own_errors, reply, schema_of
from resolver.velt import config_requests, requests
from resolver.velt.client import Endpoint
from resolver.velt.schema import Request

JSON = dict[str, Any]
_SECURITY: list[JSON] = [{"veltApiKey": [], "callerToken": []}]
_ENTRIES_EXAMPLE = [{"id": "nOZ7d0vX2Qk4mJrT9cB1yLwA", "displayBodyMessage": "Can we still sign on Monday?"}]
_EXAMPLES: dict[Endpoint, JSON] = {
    Endpoint.ADD: {
        "organizationId": "acme",
        "documentId": "report-7",
        "actionUser": {"userId": "ana", "name": "Ana Lima"},
        "notifyUsers": [{"userId": "ben"}],
        "notifyAll": False,
        "displayHeadlineMessageTemplate": "{actionUser} asked you about the merger",
        "displayHeadlineMessageTemplateData": {"actionUser": {"userId": "ana", "name": "Ana Lima"}},
        "displayBodyMessage": "Can we still sign on Friday?",
    },
    Endpoint.UPDATE: {"organizationId": "acme", "notifications": _ENTRIES_EXAMPLE},
    Endpoint.GET: {"organizationId": "acme", "documentId": "report-7", "pageSize": 20},
    Endpoint.DELETE: {"organizationId": "acme", "notificationIds": ["nOZ7d0vX2Qk4mJrT9cB1yLwA"]},
    Endpoint.CONFIG_SET: {"organizationId": "acme", "userIds": ["ben"], "config": {"inbox": "MINE"}},
    Endpoint.CONFIG_GET: {"organizationId": "acme", "userId": "ben", "documentIds": ["report-7"]},
    Endpoint.WORKSPACE_GET: {},
    Endpoint.WORKSPACE_UPDATE: {"notificationServiceConfig": {"delayConfig": {"delaySeconds": 60}}},
}
_IDEMPOTENCY_KEY: JSON = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "The notification's id is derived from this key, your backend and the organization. Repeating a "
        "request with the same key adds nothing; a different request with the same key is refused (409), as "
        "is the key together with notificationId (400)."
    ),
    "schema": {
        "type": "string",
        # No comma: servers join two headers of one name with it.
        "pattern": "^[\\x21-\\x2b\\x2d-\\x7e]([\\x20-\\x2b\\x2d-\\x7e]{0,253}[\\x21-\\x2b\\x2d-\\x7e])?$",
        "x-pattern-description": "1 to 255 printable ASCII characters, no comma",
    },
    "example": "order-1042-shipped",
}
_CONFIG: JSON = {"inbox": "MINE", "email": "MINE"}
_KEPT: JSON = {
    "useNotificationService": True,
    "notificationServiceConfig": {"delayConfig": {"isEnabled": True, "delaySeconds": 60}},
}
_ANSWERED: dict[Endpoint, tuple[str, Any]] = {
    Endpoint.ADD: (
        "Notification added successfully.",
        {
            "success": True,
            "message": "Notification added successfully.",
            "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA",
            "registration": "registered",
        },
    ),
    Endpoint.UPDATE: (
        "Notification(s) updated successfully.",
        {"nOZ7d0vX2Qk4mJrT9cB1yLwA": {"success": True, "message": "Notification updated."}},
    ),
    Endpoint.GET: (
        "Notification(s) retrieved successfully.",
        [
            {
                "id": "nOZ7d0vX2Qk4mJrT9cB1yLwA",
                "notificationSource": "custom",
                "actionUser": {"userId": "ana", "name": "Ana Lima"},
                "displayHeadlineMessageTemplate": "{actionUser} asked you about the merger",
                "displayBodyMessage": "Can we still sign on Friday?",
                "notifyUsers": [{"userId": "ben"}],
                "timestamp": 1795219162000,
            }
        ],
    ),
    Endpoint.DELETE: (
        "Notification(s) deleted successfully.",
        {"nOZ7d0vX2Qk4mJrT9cB1yLwA": {"success": True, "message": "Notification deleted."}},
    ),
    Endpoint.CONFIG_SET: (
        "User config set successfully.",
        {"ben": {"success": True, "userId": "ben", "message": "User config set successfully."}},
    ),
    Endpoint.CONFIG_GET: (
        "User config fetched successfully.",
        [
            {
                "config": _CONFIG,
                "metadata": {"organizationId": "acme", "documentId": "report-7", "userId": "ben"},
            }
        ],
    ),
    Endpoint.WORKSPACE_GET: ("Notification configuration retrieved successfully.", _KEPT),
    Endpoint.WORKSPACE_UPDATE: ("Notification configuration updated successfully.", _KEPT),
}
_SUMMARIES = {
    Endpoint.ADD: "Store the content here, register the ids at Velt",
    Endpoint.UPDATE: "Change content here, read states and audience at Velt",
    Endpoint.GET: "List notifications from Velt, with the content from here",
    Endpoint.DELETE: "Delete the content here, then the ids at Velt",
    Endpoint.CONFIG_SET: "Set users' preferences at Velt",
    Endpoint.CONFIG_GET: "Get a user's preferences from Velt",
    Endpoint.WORKSPACE_GET: "Get the workspace's notification settings from Velt",
    Endpoint.WORKSPACE_UPDATE: "Change the workspace's notification settings at Velt",
}


def _update() -> JSON:
    """Accept `notifications` in every form that Velt documents."""
    schema = schema_of(requests.UPDATE)
    entry = schema_of(requests.ENTRY)
    id_ = entry["properties"]["id"]
    # With both, `id` counts, and `notificationId` may be anything.
    other = {"required": ["notificationId"], "properties": {"notificationId": id_}}
    one = {
        "type": "object",
        "properties": entry["properties"],
        "anyOf": [{"required": ["id"]}, other],
        "not": entry["not"],
    }
    of_an_id = {name: field for name, field in entry["properties"].items() if name != "id"}
    by_id = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": requests.MAX_ENTRIES,
        "propertyNames": id_,
        "additionalProperties": {"type": "object", "properties": of_an_id, "not": entry["not"]},
    }
    listed = {"type": "array", "minItems": 1, "maxItems": requests.MAX_ENTRIES, "items": one}
    forms = {"anyOf": [listed, one, by_id]}
    properties = {**schema["properties"], "notifications": forms}
    return {**schema, "required": [*schema["required"], "notifications"], "properties": properties}


CHECKED: dict[Endpoint, Request] = {
    Endpoint.ADD: requests.ADD,
    Endpoint.GET: requests.GET,
    Endpoint.DELETE: requests.DELETE,
    Endpoint.CONFIG_SET: config_requests.CONFIG_SET,
    Endpoint.CONFIG_GET: config_requests.CONFIG_GET,
    Endpoint.WORKSPACE_GET: config_requests.WORKSPACE_GET,
    Endpoint.WORKSPACE_UPDATE: config_requests.WORKSPACE_UPDATE,
}
"""The schema that checks each call. Update is not here: its entries have a schema of their own."""


def _taken() -> dict[Endpoint, JSON]:
    return {
        **{endpoint: schema_of(schema) for endpoint, schema in CHECKED.items()},
        Endpoint.UPDATE: _update(),
    }


_LINES: JSON = {"type": "array", "items": {"type": "string"}}
_WARNINGS: JSON = {
    **_LINES,
    "description": "Parts of the request that were ignored or dropped, and what to use instead.",
}
_KEPT_FOR_OTHERS: JSON = {
    "type": "integer",
    "minimum": 0,
    "description": "After a delete with a `userId` filter: how many records stay for other readers, without "
    "that user.",
}
_OUTCOME = closed(success={"type": "boolean"}, message={"type": "string"})
_OUTCOMES: JSON = {"type": "object", "additionalProperties": _OUTCOME}
_ADDED = closed(
    success={"const": True},
    message={"type": "string"},
    notificationId={"type": "string"},
    registration={"enum": ["registered", "pending"]},
    warnings_=_LINES,
)
_ITEMS: JSON = {"type": "array", "items": {"type": "object"}}
_ANSWERS: dict[Endpoint, JSON] = {
    Endpoint.ADD: _ADDED,
    Endpoint.UPDATE: _OUTCOMES,
    Endpoint.GET: _ITEMS,
    Endpoint.DELETE: _OUTCOMES,
    Endpoint.CONFIG_SET: {"type": "object"},
    Endpoint.CONFIG_GET: _ITEMS,
    Endpoint.WORKSPACE_GET: {"type": "object"},
    Endpoint.WORKSPACE_UPDATE: {"type": "object"},
}


def paths() -> JSON:
    taken = _taken()
    return {str(endpoint): {"post": _operation(endpoint, taken[endpoint])} for endpoint in Endpoint}


def _operation(endpoint: Endpoint, taken: JSON) -> JSON:
    needed = endpoint is not Endpoint.WORKSPACE_GET
    message, answered = _ANSWERED[endpoint]
    example = {"result": {"status": "success", "message": message, "data": answered}}
    data = {"type": "object", "required": ["data"] * needed, "properties": {"data": taken}}
    return {
        "tags": ["mirror"],
        "operationId": endpoint.name.lower(),
        "summary": _SUMMARIES[endpoint],
        "security": _SECURITY,
        **({"parameters": [_IDEMPOTENCY_KEY]} if endpoint is Endpoint.ADD else {}),
        "requestBody": body(data, {"data": _EXAMPLES[endpoint]}, required=needed),
        "responses": {
            "200": reply("Velt's answer.", _result(endpoint), example=example),
            **mirror_errors(400, 401, 403, 404, *([409] if endpoint is Endpoint.ADD else []), 413, 415, 429),
            **own_errors(500, 503),
        },
    }


_ADDED_TO_RESULT: dict[Endpoint, JSON] = {
    Endpoint.UPDATE: {"warnings_": _WARNINGS},
    Endpoint.GET: {"pageToken_": {}, "warnings_": _WARNINGS},
    Endpoint.DELETE: {"kept_": _KEPT_FOR_OTHERS},
    Endpoint.CONFIG_GET: {"warnings_": _WARNINGS},
    Endpoint.WORKSPACE_GET: {"warnings_": _WARNINGS},
}
"""Keys beside `data`, by endpoint."""


def _result(endpoint: Endpoint) -> JSON:
    parts = {"data_": _ANSWERS[endpoint], **_ADDED_TO_RESULT.get(endpoint, {})}
    return closed(result=closed(status={"const": "success"}, message={"type": "string"}, **parts))
