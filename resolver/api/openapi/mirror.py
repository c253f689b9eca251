"""Describe the Velt-compatible API: Velt's eight endpoints, called by backends."""

from __future__ import annotations

from typing import Any

from resolver.api.openapi.parts import body, closed, mirror_errors, own_errors, reply, schema_of
from resolver.velt import config_requests, requests
from resolver.velt.client import VeltEndpoint
from resolver.velt.schema import Request

JSON = dict[str, Any]
_SECURITY: list[JSON] = [{"veltApiKey": [], "callerToken": []}]
_ENTRIES_EXAMPLE = [{"id": "nOZ7d0vX2Qk4mJrT9cB1yLwA", "displayBodyMessage": "Can we still sign on Monday?"}]
_EXAMPLES: dict[VeltEndpoint, JSON] = {
    VeltEndpoint.ADD: {
        "organizationId": "acme",
        "documentId": "report-7",
        "actionUser": {"userId": "ana", "name": "Ana Lima"},
        "notifyUsers": [{"userId": "ben"}],
        "notifyAll": False,
        "displayHeadlineMessageTemplate": "{actionUser} asked you about the merger",
        "displayHeadlineMessageTemplateData": {"actionUser": {"userId": "ana", "name": "Ana Lima"}},
        "displayBodyMessage": "Can we still sign on Friday?",
    },
    VeltEndpoint.UPDATE: {"organizationId": "acme", "notifications": _ENTRIES_EXAMPLE},
    VeltEndpoint.GET: {"organizationId": "acme", "documentId": "report-7", "pageSize": 20},
    VeltEndpoint.DELETE: {"organizationId": "acme", "notificationIds": ["nOZ7d0vX2Qk4mJrT9cB1yLwA"]},
    VeltEndpoint.CONFIG_SET: {"organizationId": "acme", "userIds": ["ben"], "config": {"inbox": "MINE"}},
    VeltEndpoint.CONFIG_GET: {"organizationId": "acme", "userId": "ben", "documentIds": ["report-7"]},
    VeltEndpoint.WORKSPACE_GET: {},
    VeltEndpoint.WORKSPACE_UPDATE: {"notificationServiceConfig": {"delayConfig": {"delaySeconds": 60}}},
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
_ANSWERED: dict[VeltEndpoint, tuple[str, Any]] = {
    VeltEndpoint.ADD: (
        "Notification added successfully.",
        {
            "success": True,
            "message": "Notification added successfully.",
            "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA",
            "registration": "registered",
        },
    ),
    VeltEndpoint.UPDATE: (
        "Notification(s) updated successfully.",
        {"nOZ7d0vX2Qk4mJrT9cB1yLwA": {"success": True, "message": "Notification updated."}},
    ),
    VeltEndpoint.GET: (
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
    VeltEndpoint.DELETE: (
        "Notification(s) deleted successfully.",
        {"nOZ7d0vX2Qk4mJrT9cB1yLwA": {"success": True, "message": "Notification deleted."}},
    ),
    VeltEndpoint.CONFIG_SET: (
        "User config set successfully.",
        {"ben": {"success": True, "userId": "ben", "message": "User config set successfully."}},
    ),
    VeltEndpoint.CONFIG_GET: (
        "User config fetched successfully.",
        [
            {
                "config": _CONFIG,
                "metadata": {"organizationId": "acme", "documentId": "report-7", "userId": "ben"},
            }
        ],
    ),
    VeltEndpoint.WORKSPACE_GET: ("Notification configuration retrieved successfully.", _KEPT),
    VeltEndpoint.WORKSPACE_UPDATE: ("Notification configuration updated successfully.", _KEPT),
}
_SUMMARIES = {
    VeltEndpoint.ADD: "Store the content here, register the ids at Velt",
    VeltEndpoint.UPDATE: "Change content here, read states and audience at Velt",
    VeltEndpoint.GET: "List notifications from Velt, with the content from here",
    VeltEndpoint.DELETE: "Delete the content here, then the ids at Velt",
    VeltEndpoint.CONFIG_SET: "Set users' preferences at Velt",
    VeltEndpoint.CONFIG_GET: "Get a user's preferences from Velt",
    VeltEndpoint.WORKSPACE_GET: "Get the workspace's notification settings from Velt",
    VeltEndpoint.WORKSPACE_UPDATE: "Change the workspace's notification settings at Velt",
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


CHECKED: dict[VeltEndpoint, Request] = {
    VeltEndpoint.ADD: requests.ADD,
    VeltEndpoint.GET: requests.GET,
    VeltEndpoint.DELETE: requests.DELETE,
    VeltEndpoint.CONFIG_SET: config_requests.CONFIG_SET,
    VeltEndpoint.CONFIG_GET: config_requests.CONFIG_GET,
    VeltEndpoint.WORKSPACE_GET: config_requests.WORKSPACE_GET,
    VeltEndpoint.WORKSPACE_UPDATE: config_requests.WORKSPACE_UPDATE,
}
"""The schema that checks each call. Update is not here: its entries have a schema of their own."""


def _taken() -> dict[VeltEndpoint, JSON]:
    return {
        **{endpoint: schema_of(schema) for endpoint, schema in CHECKED.items()},
        VeltEndpoint.UPDATE: _update(),
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
_ANSWERS: dict[VeltEndpoint, JSON] = {
    VeltEndpoint.ADD: _ADDED,
    VeltEndpoint.UPDATE: _OUTCOMES,
    VeltEndpoint.GET: _ITEMS,
    VeltEndpoint.DELETE: _OUTCOMES,
    VeltEndpoint.CONFIG_SET: {"type": "object"},
    VeltEndpoint.CONFIG_GET: _ITEMS,
    VeltEndpoint.WORKSPACE_GET: {"type": "object"},
    VeltEndpoint.WORKSPACE_UPDATE: {"type": "object"},
}


def paths() -> JSON:
    taken = _taken()
    return {str(endpoint): {"post": _operation(endpoint, taken[endpoint])} for endpoint in VeltEndpoint}


def _operation(endpoint: VeltEndpoint, taken: JSON) -> JSON:
    needed = endpoint is not VeltEndpoint.WORKSPACE_GET
    message, answered = _ANSWERED[endpoint]
    example = {"result": {"status": "success", "message": message, "data": answered}}
    data = {"type": "object", "required": ["data"] * needed, "properties": {"data": taken}}
    return {
        "tags": ["mirror"],
        "operationId": endpoint.name.lower(),
        "summary": _SUMMARIES[endpoint],
        "security": _SECURITY,
        **({"parameters": [_IDEMPOTENCY_KEY]} if endpoint is VeltEndpoint.ADD else {}),
        "requestBody": body(data, {"data": _EXAMPLES[endpoint]}, required=needed),
        "responses": {
            "200": reply("Velt's answer.", _result(endpoint), example=example),
            **mirror_errors(
                400, 401, 403, 404, *([409] if endpoint is VeltEndpoint.ADD else []), 413, 415, 429
            ),
            **own_errors(500, 503),
        },
    }


_ADDED_TO_RESULT: dict[VeltEndpoint, JSON] = {
    VeltEndpoint.UPDATE: {"warnings_": _WARNINGS},
    VeltEndpoint.GET: {"pageToken_": {}, "warnings_": _WARNINGS},
    VeltEndpoint.DELETE: {"kept_": _KEPT_FOR_OTHERS},
    VeltEndpoint.CONFIG_GET: {"warnings_": _WARNINGS},
    VeltEndpoint.WORKSPACE_GET: {"warnings_": _WARNINGS},
}
"""Keys beside `data`, by endpoint."""


def _result(endpoint: VeltEndpoint) -> JSON:
    parts = {"data_": _ANSWERS[endpoint], **_ADDED_TO_RESULT.get(endpoint, {})}
    return closed(result=closed(status={"const": "success"}, message={"type": "string"}, **parts))
