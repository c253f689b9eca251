"""The other surfaces: callbacks, token, metrics, and what a balancer asks."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from resolver.api.openapi.derive import schema_of
from resolver.api.openapi.parts import body, callback_errors, closed, own_errors, reply

JSON = dict[str, Any]
_METRICS = 'resolver_request_seconds_count{outcome="ok",surface="callback"} 12.0\n'
_READERS: list[JSON] = [{"endUser": []}, {"veltApiKey": [], "callerToken": []}]
_ORGANIZATION: JSON = {
    "type": ["string", "null"],
    "description": "May be left out with a token of exactly one.",
}
_ID: JSON = {
    "anyOf": [{"type": "string"}, {"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1}]
}
_DONE: JSON = {"success": {"const": True}, "statusCode": {"const": 200}}
_DONE_EXAMPLE: JSON = {"success": True, "statusCode": 200}
_CONTENT: JSON = {
    "nOZ7d0vX2Qk4mJrT9cB1yLwA": {
        "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA",
        "actionUser": {"userId": "ana", "name": "Ana Lima"},
        "displayHeadlineMessageTemplate": "{actionUser} asked you about the merger",
        "displayHeadlineMessageTemplateData": {"actionUser": {"userId": "ana", "name": "Ana Lima"}},
        "displayBodyMessage": "Can we still sign on Friday?",
    }
}


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
            body(get, {"organizationId": "acme", "notificationIds": ["nOZ7d0vX2Qk4mJrT9cB1yLwA"]}),
            reply(
                "The content that there is for this reader.",
                found,
                example={"data": _CONTENT, **_DONE_EXAMPLE},
            ),
        ),
        f"{prefix}delete": _callback(
            "delete",
            "Remove it, or leave its audience; always the same answer",
            body(delete, {"organizationId": "acme", "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA"}),
            reply("Done, or there was nothing to do.", closed(**_DONE), example=_DONE_EXAMPLE),
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
                    "200": reply(
                        "The token.", minted, example={"token": "eyJhbGciOi…", "expiresAt": 1795219162}
                    ),
                    **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
                },
            }
        }
    }


def revocation(path: str, schema: Schema) -> JSON:
    taken = body(schema_of(schema), {"userId": "ben"})
    since = {"type": "integer", "description": "Epoch seconds, of Redis's clock."}
    return {
        path: {
            "post": {
                "tags": ["token"],
                "operationId": "token_revoke",
                "summary": "Revoke the tokens of one of your users that were issued until now",
                "description": (
                    "Without an organization, in all of them. A token's `iat` counts whole seconds: one that "
                    "is issued in the same second is revoked too, and tokens hold from the next second on."
                ),
                "security": [{"veltApiKey": [], "callerToken": []}],
                "requestBody": taken,
                "responses": {
                    "200": reply("Revoked.", closed(revokedAt=since), example={"revokedAt": 1795219162}),
                    **own_errors(400, 401, 403, 404, 413, 415, 429, 500, 503),
                },
            }
        }
    }


def metrics(path: str) -> JSON:
    text: JSON = {"type": "string"}
    operation = _get("metrics", "What Prometheus asks", text, _METRICS, "text/plain")
    operation["security"] = [{"metricsToken": []}]
    operation["responses"] |= own_errors(401, 403, 404, 429)
    return {path: {"get": operation}}


def ops() -> JSON:
    alive = _get("livez", "Is this process alive?", closed(status={"const": "ok"}), {"status": "ok"})
    states: JSON = {"enum": ["ok", "down", "foreign", "outdated", "restored"]}
    answered = closed(status={"const": "ok"}, redis=states)
    ready = _get("readyz", "May it get traffic?", answered, {"status": "ok", "redis": "ok"})
    not_now = closed(status={"enum": ["starting", "draining"]}, redis=states)
    ready["responses"]["503"] = reply("Redis wasn't reached yet, or it is about to stop.", not_now)
    return {"/livez": {"get": alive}, "/readyz": {"get": ready}}


def docs(path: str, viewer: str) -> JSON:
    page: JSON = {"type": "string"}
    return {
        path: {"get": _get("openapi", "This description", {"type": "object"}, {"openapi": "3.1.0"})},
        viewer: {"get": _get("docs", "This description, to read", page, "<!doctype html>…", "text/html")},
    }


def _get(name: str, summary: str, schema: JSON, example: Any, media_type: str = "application/json") -> JSON:
    return {
        "tags": ["ops"],
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": reply("Yes.", schema, media_type, example=example), **own_errors(400, 500)},
    }
