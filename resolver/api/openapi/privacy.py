"""Describe the privacy endpoints: export and erasure."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from resolver.api.openapi.parts import body, closed, own_errors, reply, schema_of

JSON = dict[str, Any]
_HAS_PERSON: JSON = {"anyOf": [{"required": ["userIds"]}, {"required": ["emails"]}]}
_ORGANIZATIONS: JSON = {
    "required": ["wholeOrganizations", "organizationIds"],
    "properties": {"wholeOrganizations": {"const": True}, "userIds": False, "emails": False},
}
_PERSON: JSON = {
    **_HAS_PERSON,
    "properties": {"wholeOrganizations": {"const": False}},
    # Velt knows people only by their ids.
    "if": {"required": ["veltUserData"], "properties": {"veltUserData": {"const": True}}},
    "then": {"required": ["userIds"]},
}
_COUNT: JSON = {"type": "integer", "minimum": 0}
_COUNTS = closed(
    **dict.fromkeys(("lookedAt", "removed", "cut", "commands", "unreadable"), _COUNT),
)
_ERASURE = "5f0c9a7d3e1b48c2a6d4f8097b3e5a1c"
_SO_FAR: JSON = {
    "erasureId": _ERASURE,
    "status": "telling",
    "counts": {"lookedAt": 1200, "removed": 3, "cut": 2, "commands": 1, "unreadable": 0},
}
_LINES = (
    '{"type":"notification","organizationId":"acme","notificationId":"nOZ7d0vX2Qk4mJrT9cB1yLwA"}\n'
    '{"type":"end","complete":true,"found":1,"unreadable":0}\n'
)
_CERTIFICATE = closed(certificate={"type": "object"}, signature={"type": "string"})


def export(path: str, schema: Schema) -> JSON:
    taken = {**schema_of(schema), **_HAS_PERSON}
    operation = _operation(
        "export",
        "Export everything stored about a person, without other people's data",
        "One JSON object per line. Without a last line of type `end` with `complete`, it is incomplete.",
    )
    operation["requestBody"] = body(taken, {"userIds": ["ben"]})
    operation["responses"] = {
        "200": reply("The export.", {"type": "string"}, "application/x-ndjson", example=_LINES),
        **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
    }
    return {path: {"post": operation}}


def erasure(path: str, schema: Schema, followed: str) -> JSON:
    taken = {**schema_of(schema), "anyOf": [_PERSON, _ORGANIZATIONS]}
    asked = _operation(
        "erase",
        "Erase a person, or whole organizations, from everything that is stored",
        "The worker carries it out; follow its progress by the id.",
    )
    asked["requestBody"] = body(taken, {"userIds": ["ben"], "organizationIds": ["acme"]})
    asked["responses"] = {
        "202": reply(
            "The request is stored.", closed(erasureId={"type": "string"}), example={"erasureId": _ERASURE}
        ),
        **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
    }
    status = _operation("erasure", "Get an erasure's progress, and its erasure certificate when it is done")
    status["parameters"] = [
        {
            "name": "erasureId",
            "in": "path",
            "required": True,
            "description": "From the reply to the erase call.",
            "schema": {"type": "string", "minLength": 1},
            "example": _ERASURE,
        }
    ]
    found = closed(
        erasureId={"type": "string"},
        status={"enum": ["waiting", "erasing", "telling", "done"]},
        counts=_COUNTS,
        certificate_=_CERTIFICATE,
    )
    status["responses"] = {
        "200": reply("Progress or result.", found, example=_SO_FAR),
        **own_errors(400, 401, 403, 404, 429, 500, 503),
    }
    return {path: {"post": asked}, f"{followed}{{erasureId}}": {"get": status}}


def _operation(name: str, summary: str, description: str = "") -> JSON:
    return {
        "tags": ["privacy"],
        "operationId": f"privacy_{name}",
        "summary": summary,
        **({"description": description} if description else {}),
        "security": [{"privacyToken": []}],
    }
