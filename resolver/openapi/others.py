"""The other surfaces: callbacks, token, metrics, and what a balancer asks."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from resolver.openapi.derive import schema_of
from resolver.openapi.parts import body, callback_errors, closed, own_errors, reply

JSON = dict[str, Any]
_READERS: list[JSON] = [{"endUser": []}, {"veltApiKey": [], "callerToken": []}]
_ORGANIZATION: JSON = {
    "type": ["string", "null"],
    "description": "May be left out with a token of exactly one.",
}
_ID: JSON = {
    "anyOf": [{"type": "string"}, {"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1}]
}
_DONE: JSON = {"success": {"const": True}, "statusCode": {"const": 200}}


def callback(prefix: str, most_ids: int) -> JSON:
    content: JSON = {
        "type": "object",
        "required": ["notificationId"],
        "properties": {"notificationId": {"type": "string"}},
    }
    ids = {"type": ["array", "null"], "items": _ID, "maxItems": most_ids}
    get = {
        "type": "object",
        "properties": {"organizationId": _ORGANIZATION, "notificationIds": ids},
    }
    delete = {
        "type": "object",
        "required": ["notificationId"],
        "properties": {"organizationId": _ORGANIZATION, "notificationId": {**_ID, "minLength": 1}},
    }
    found = closed(data={"type": "object", "additionalProperties": content}, **_DONE)
    return {
        f"{prefix}get": _callback(
            "get",
            "Content by id; what isn't there, or isn't meant for the reader, is absent",
            body(get, {"organizationId": "acme", "notificationIds": ["hello-1"]}),
            reply("The content that there is for this reader.", found),
        ),
        f"{prefix}delete": _callback(
            "delete",
            "Remove it, or leave its audience; always the same answer",
            body(delete, {"organizationId": "acme", "notificationId": "hello-1"}),
            reply("Done, or there was nothing to do.", closed(**_DONE)),
        ),
    }


def _callback(name: str, summary: str, taken: JSON, answered: JSON) -> JSON:
    return {
        "post": {
            "tags": ["callback"],
            "operationId": f"callback_{name}",
            "summary": summary,
            "security": _READERS,
            "requestBody": taken,
            "responses": {"200": answered, **callback_errors(400, 401, 403, 404, 413, 415, 429, 500, 503)},
        }
    }


def token(path: str, schema: Schema) -> JSON:
    taken = body(schema_of(schema), {"userId": "ben", "organizationIds": ["acme"], "ttlSeconds": 900})
    minted = closed(token={"type": "string"}, expiresAt={"type": "integer", "description": "Epoch seconds."})
    return {
        path: {
            "post": {
                "tags": ["token"],
                "operationId": "token",
                "summary": "Mint a short-lived token for one of your users",
                "security": [{"veltApiKey": [], "callerToken": []}],
                "requestBody": taken,
                "responses": {
                    "200": reply("The token.", minted),
                    **own_errors(400, 401, 403, 404, 413, 415, 500, 503),
                },
            }
        }
    }


def metrics(path: str) -> JSON:
    operation = _get("metrics", "What Prometheus asks", {"type": "string"}, "text/plain")
    operation["security"] = [{"metricsToken": []}]
    operation["responses"] |= own_errors(401, 403, 404)
    return {path: {"get": operation}}


def ops() -> JSON:
    alive = _get("livez", "Is this process alive?", closed(status={"const": "ok"}))
    states: JSON = {"enum": ["ok", "down", "foreign", "restored"]}
    ready = _get("readyz", "May it get traffic?", closed(status={"const": "ok"}, redis=states))
    not_now = closed(status={"enum": ["starting", "draining"]}, redis=states)
    ready["responses"]["503"] = reply("Redis wasn't reached yet, or it is about to stop.", not_now)
    return {"/livez": {"get": alive}, "/readyz": {"get": ready}}


def docs(path: str, viewer: str) -> JSON:
    page: JSON = {"type": "string"}
    return {
        path: {"get": _get("openapi", "This description", {"type": "object"})},
        viewer: {"get": _get("docs", "This description, to read", page, "text/html")},
    }


def _get(name: str, summary: str, schema: JSON, media_type: str = "application/json") -> JSON:
    return {
        "tags": ["ops"],
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": reply("Yes.", schema, media_type), **own_errors(400, 500)},
    }
