"""The official Python SDK, unmodified but for its base URL, works against the resolver."""

from __future__ import annotations

from typing import Any

import pytest
from velt_py import VeltSDK
from velt_py.models import notification_api, workspace
from velt_py.services.api.base_api_service import BaseApiService

from tests.support import API_KEY, CALLER_TOKEN, VELT_TOKEN, Velt, notification
from tests.system.conftest import Served

pytestmark = pytest.mark.system


@pytest.fixture
def sdk(served: Served, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(BaseApiService, "VELT_API_BASE_URL", served.url)
    return VeltSDK.initialize({"apiKey": API_KEY, "authToken": CALLER_TOKEN}).api


def add(sdk: Any, **changes: Any) -> Any:
    return sdk.notifications.addNotifications(
        notification_api.AddNotificationsRequest(**notification(**changes))
    )


def test_a_notification_lives_its_whole_life_through_the_sdk(sdk: Any, velt: Velt) -> None:
    assert add(sdk)["result"]["data"]["notificationId"] == "n-1"
    scope = {"organizationId": "acme", "documentId": "doc-1"}

    entry = {"id": "n-1", "displayBodyMessage": "CANARY changed", "readByUserIds": ["ben"]}
    updated = sdk.notifications.updateNotifications(
        notification_api.UpdateNotificationsRequest(**scope, notifications=[entry])
    )
    assert updated["result"]["data"] == {"n-1": {"success": True, "message": "Notification updated."}}

    found = sdk.notifications.getNotifications(notification_api.GetNotificationsRequest(**scope))
    (item,) = found["result"]["data"]
    assert (item["id"], item["displayBodyMessage"]) == ("n-1", "CANARY changed")
    assert item["actionUser"]["name"] == "CANARY Ana"

    deleted = sdk.notifications.deleteNotifications(
        notification_api.DeleteNotificationsRequest(organizationId="acme", notificationIds=["n-1"])
    )
    assert deleted["result"]["data"]["n-1"]["success"] is True
    assert (
        sdk.notifications.getNotifications(notification_api.GetNotificationsRequest(**scope))["result"][
            "data"
        ]
        == []
    )
    assert not [entry for entry in velt.ledger() if "CANARY" in entry["raw"]]


def test_preferences_are_set_and_read_through_the_sdk(sdk: Any) -> None:
    sdk.notifications.setNotificationConfig(
        notification_api.SetNotificationConfigRequest(
            organizationId="acme", userIds=["ben"], documentIds=["doc-1"], config={"inbox": "MINE"}
        )
    )
    found = sdk.notifications.getNotificationConfig(
        notification_api.GetNotificationConfigRequest(
            organizationId="acme", userId="ben", documentIds=["doc-1"]
        )
    )
    assert found["result"]["data"][0]["config"]["inbox"] == "MINE"


def test_the_workspace_is_set_and_read_through_the_sdk(sdk: Any) -> None:
    config = {"delayConfig": {"isEnabled": True, "delaySeconds": 30}}
    sdk.workspace.updateNotificationConfig(
        workspace.UpdateWorkspaceNotificationConfigRequest(
            useNotificationService=True, notificationServiceConfig=config
        )
    )
    found = sdk.workspace.getNotificationConfig(workspace.GetWorkspaceNotificationConfigRequest())
    assert found["result"]["data"]["useNotificationService"] is True
    assert found["result"]["data"]["notificationServiceConfig"]["delayConfig"] == config["delayConfig"]


def test_sdk_gets_the_errors_of_velt(sdk: Any) -> None:
    refused = add(sdk, notificationId="has a space")
    assert refused["error"]["status"] == "INVALID_ARGUMENT"


def test_velts_own_token_does_not_open_the_resolver(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseApiService, "VELT_API_BASE_URL", served.url)
    sdk = VeltSDK.initialize({"apiKey": API_KEY, "authToken": VELT_TOKEN}).api
    assert add(sdk)["error"] == {"message": "Invalid API key.", "status": "PERMISSION_DENIED"}
