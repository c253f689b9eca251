"""What a team would otherwise deploy: the official SDK, its data layer on PostgreSQL, behind Flask.

The token is verified by the SDK, and must name the organization. The SDK knows no recipients: whoever is in
the organization reads everything in it.
"""

from __future__ import annotations

import hmac
import os
from typing import Any

from flask import Flask, Response, request
from velt_py import VeltSDK
from velt_py.models import notification as stored
from velt_py.models import notification_api as told
from velt_py.services.api.base_api_service import BaseApiService

from bench.people import ADD, GET, UPDATE
from bench.wrk import CONNECTIONS

JSON = dict[str, Any]
Answer = tuple[JSON, int]
_TOLD = ("organizationId", "documentId", "notificationId", "notifyAll")


def create_app() -> Flask:
    BaseApiService.VELT_API_BASE_URL = os.environ["VELT_API_URL"]
    sdk = _sdk()
    notifications = sdk.selfHosting.notifications  # connects, and makes its tables
    app = Flask("on_velt_py")

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    @app.post(GET)
    def get() -> Answer:
        who = sdk.selfHosting.verifyToken(headers=request.headers)
        if not who.verified:
            return _refusal(401)
        asked = stored.GetNotificationResolverRequest.from_dict(request.get_json())
        if asked.organizationId not in who.claims["organizationIds"]:
            return _refusal(403)
        answer = notifications.getNotifications(asked)
        return answer, answer["statusCode"]

    @app.post(ADD)
    def add() -> Answer | Response:
        if not _is_backend():
            return _refusal(401)
        given = request.get_json()["data"]
        saved = _save(notifications, given["organizationId"], given["notificationId"], _content(given))
        if not saved["success"]:
            return saved, saved["statusCode"]
        answer = sdk.api.notifications.addNotifications(
            told.AddNotificationsRequest(
                **{name: given[name] for name in _TOLD if name in given},
                actionUser={"userId": given["actionUser"]["userId"]},
                notifyUsers=[{"userId": user["userId"]} for user in given["notifyUsers"]],
                isNotificationResolverUsed=True,
            )
        )
        return answer, 200 if "result" in answer else 502

    @app.post(UPDATE)
    def update() -> Answer:
        if not _is_backend():
            return _refusal(401)
        given = request.get_json()["data"]
        for entry in given["notifications"]:
            changed = {name: value for name, value in entry.items() if name != "id"}
            saved = _save(notifications, given["organizationId"], entry["id"], changed)
            if not saved["success"]:
                return saved, saved["statusCode"]
        return {"result": {"status": "success"}}, 200

    return app


def _sdk() -> Any:
    return VeltSDK.initialize(
        {
            "apiKey": os.environ["VELT_API_KEY"],
            "authToken": os.environ["VELT_AUTH_TOKEN"],
            "database": {
                "type": "postgresql",
                "connection_string": os.environ["POSTGRES_DSN"],
                "pool_min_size": CONNECTIONS,
                "pool_max_size": CONNECTIONS,
            },
            "resolver_auth": {
                "jwt": {
                    "algorithms": ["HS256"],
                    "secret": os.environ["RESOLVER_TOKEN_SECRET"],
                    "require": ["exp"],
                }
            },
        }
    )


def _is_backend() -> bool:
    expected = os.environ["RESOLVER_CALLER_TOKENS"].partition(":")[2]
    return hmac.compare_digest(request.headers.get("x-velt-auth-token", ""), expected)


def _content(given: JSON) -> JSON:
    return {
        name: value for name, value in given.items() if name.startswith("display") or name == "actionUser"
    }


def _save(notifications: Any, organization: str, notification: str, content: JSON) -> JSON:
    asked = {"organizationId": organization, "notifications": {notification: content}}
    saved: JSON = notifications.saveNotifications(stored.SaveNotificationResolverRequest.from_dict(asked))
    return saved


def _refusal(status: int) -> Answer:
    return {"success": False, "statusCode": status}, status
