"""The privacy surface: what is held about somebody, and taking them out of it."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from resolver.api.openapi.derive import schema_of
from resolver.api.openapi.parts import body, closed, own_errors, reply

JSON = dict[str, Any]
_SOMEBODY: JSON = {"anyOf": [{"required": ["userIds"]}, {"required": ["emails"]}]}
_ORGANIZATIONS: JSON = {
    "required": ["wholeOrganizations", "organizationIds"],
    "properties": {"wholeOrganizations": {"const": True}, "userIds": False, "emails": False},
}
_PERSON: JSON = {
    **_SOMEBODY,
    "properties": {"wholeOrganizations": {"const": False}},
    # Velt knows people by their ids alone.
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
    taken = {**schema_of(schema), **_SOMEBODY}
    operation = _operation(
        "export",
        "Everything that is held about somebody, with nobody else's data in it",
        "One JSON object a line. Without a last line of type `end` that says `complete`, it isn't all.",
    )
    operation["requestBody"] = body(taken, {"userIds": ["ben"]})
    operation["responses"] = {
        "200": reply("What there is.", {"type": "string"}, "application/x-ndjson", example=_LINES),
        **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
    }
    return {path: {"post": operation}}


def erasure(path: str, schema: Schema, followed: str) -> JSON:
    taken = {**schema_of(schema), "anyOf": [_PERSON, _ORGANIZATIONS]}
    asked = _operation(
        "erase",
        "Take somebody, or whole organizations, out of everything that is held",
        "The worker carries it out; follow it by the id.",
    )
    asked["requestBody"] = body(taken, {"userIds": ["ben"], "organizationIds": ["acme"]})
    asked["responses"] = {
        "202": reply(
            "It will be done.", closed(erasureId={"type": "string"}), example={"erasureId": _ERASURE}
        ),
        **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
    }
    looked = _operation("erasure", "How far an erasure is; with its certificate when it is done")
    looked["parameters"] = [
        {
            "name": "erasureId",
            "in": "path",
            "required": True,
            "description": "As the erasure's own reply gave it.",
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
    looked["responses"] = {
        "200": reply("So far.", found, example=_SO_FAR),
        **own_errors(400, 401, 403, 404, 429, 500, 503),
    }
    return {path: {"post": asked}, f"{followed}{{erasureId}}": {"get": looked}}


def _operation(name: str, summary: str, description: str = "") -> JSON:
    return {
        "tags": ["privacy"],
        "operationId": f"privacy_{name}",
        "summary": summary,
        **({"description": description} if description else {}),
        "security": [{"privacyToken": []}],
    }
