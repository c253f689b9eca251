"""Describe the other surfaces: data provider endpoints, tokens, metrics, health."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from resolver.api.openapi.parts import body, callback_errors, closed, own_errors, reply, schema_of

JSON = dict[str, Any]
_METRICS = 'resolver_request_seconds_count{outcome="ok",surface="callback"} 12.0\n'
_READERS: list[JSON] = [{"endUser": []}, {"veltApiKey": [], "callerToken": []}]
_ORGANIZATION: JSON = {
    "type": ["string", "null"],
    "description": "Optional if the token holds exactly one organization.",
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
            "Get content by id; ids that don't exist or that the reader may not see are absent",
            body(get, {"organizationId": "acme", "notificationIds": ["nOZ7d0vX2Qk4mJrT9cB1yLwA"]}),
            reply(
                "The content this reader may see.",
                found,
                example={"data": _CONTENT, **_DONE_EXAMPLE},
            ),
        ),
        f"{prefix}delete": _callback(
            "delete",
            "Delete or dismiss a notification; the answer is always the same",
            body(delete, {"organizationId": "acme", "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA"}),
            reply("Deleted or dismissed, or nothing to do.", closed(**_DONE), example=_DONE_EXAMPLE),
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
    since = {"type": "integer", "description": "Epoch seconds on Redis's clock."}
    return {
        path: {
            "post": {
                "tags": ["token"],
                "operationId": "token_revoke",
                "summary": "Revoke all tokens of a user that were issued until now",
                "description": (
                    "Without organizationId, tokens are revoked in all organizations. A token's `iat` is in "
                    "whole seconds: a token issued in the same second is revoked too; one issued in the next "
                    "second is valid."
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
    operation = _get("metrics", "Metrics for Prometheus", text, _METRICS, "text/plain")
    operation["security"] = [{"metricsToken": []}]
    operation["responses"] |= own_errors(401, 403, 404, 429)
    return {path: {"get": operation}}


def ops() -> JSON:
    alive = _get("livez", "Liveness of this process", closed(status={"const": "ok"}), {"status": "ok"})
    states: JSON = {"enum": ["ok", "down", "foreign", "outdated", "restored"]}
    answered = closed(status={"const": "ok"}, redis=states)
    ready = _get("readyz", "Readiness for traffic", answered, {"status": "ok", "redis": "ok"})
    not_now = closed(status={"enum": ["starting", "draining"]}, redis=states)
    ready["responses"]["503"] = reply("Redis was not reached yet, or the process is draining.", not_now)
    return {"/livez": {"get": alive}, "/readyz": {"get": ready}}


def docs(path: str, viewer: str) -> JSON:
    page: JSON = {"type": "string"}
    return {
        path: {"get": _get("openapi", "This description", {"type": "object"}, {"openapi": "3.1.0"})},
        viewer: {"get": _get("docs", "This description as a page", page, "<!doctype html>…", "text/html")},
    }


def _get(name: str, summary: str, schema: JSON, example: Any, media_type: str = "application/json") -> JSON:
    return {
        "tags": ["ops"],
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": reply("OK.", schema, media_type, example=example), **own_errors(400, 500)},
    }
