"""Every request that Velt's pages and its SDKs' documentation show is answered as Velt documents it.

Each sample has the keys of one documented request, in this project's own words. The answer is Velt's; where a
sample asks for what Velt's own backend ignores, it is what really became of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from velt_py.models import notification_api

from tests.support import JSON, Api, Velt, error_of

ADD = "notifications/add"
UPDATE, GET, DELETE = "notifications/update", "notifications/get", "notifications/delete"
CONFIG_GET, CONFIG_SET = "notifications/config/get", "notifications/config/set"
WORKSPACE_GET, WORKSPACE_UPDATE = (f"workspace/notificationconfig/{name}" for name in ("get", "update"))
TEXT = {"displayBodyMessage": "Another body"}
UPDATED = {"success": True, "message": "Notification updated."}
NOT_UPDATED = {"success": False, "message": "Failed to update notification."}
DELETED = {"success": True, "message": "Notification deleted."}
NOT_DELETED = {"success": False, "message": "Failed to delete notification."}


class Sample(NamedTuple):
    path: str
    asked: JSON
    answered: Any
    """The reply's `data`, or a function that checks it if it differs from call to call."""
    message: str


def update(answered: JSON, **asked: Any) -> Sample:
    data = {"organizationId": "acme", **asked}
    return Sample(UPDATE, data, answered, "Notification(s) updated successfully.")


def get(*ids: str, **asked: Any) -> Sample:
    def is_listed(data: Any) -> bool:
        return [item["id"] for item in data] == list(ids)

    data = {"organizationId": "acme", **asked}
    return Sample(GET, data, is_listed, "Notification(s) retrieved successfully.")


def delete(answered: JSON, **asked: Any) -> Sample:
    data = {"organizationId": "acme", **asked}
    return Sample(DELETE, data, answered, "Notification(s) deleted successfully.")


def config_get(*levels: str | None, **asked: Any) -> Sample:
    def has_levels(data: Any) -> bool:
        return [item["metadata"].get("documentId") for item in data] == list(levels)

    data = {"organizationId": "acme", **asked}
    return Sample(CONFIG_GET, data, has_levels, "User config fetched successfully.")


def add(**asked: Any) -> Sample:
    def is_added(data: Any) -> bool:
        return bool(data["success"] is True and data["message"] == "Notification added successfully.")

    data = {"organizationId": "acme", "documentId": "doc-1", **asked}
    return Sample(ADD, data, is_added, "Notification added successfully.")


def config_set(*users: str, **asked: Any) -> Sample:
    done = {"success": True, "message": "User config set successfully."}

    def is_set(data: Any) -> bool:
        return bool(data.keys() == set(users) and all(data[user].items() >= done.items() for user in users))

    data = {"organizationId": "acme", "userIds": list(users), **asked}
    return Sample(CONFIG_SET, data, is_set, "User config set successfully.")


def workspace(path: str, word: str, **asked: Any) -> Sample:
    def is_whole(data: Any) -> bool:
        return bool(data.keys() == {"useNotificationService", "notificationServiceConfig"})

    return Sample(path, asked, is_whole, f"Notification configuration {word} successfully.")


ANA, BEN = {"userId": "ana", "name": "Ana", "email": "ana@example.com"}, {"userId": "ben", "name": "Ben"}
HEADLINE, BODY = "{actionUser} wrote to {recipientUser}", "A body"
WORDS: JSON = {"displayHeadlineMessageTemplate": HEADLINE, "displayBodyMessage": BODY}
# A page of Velt's samples. The token is the sandbox's, since those of the pages are made up.
PAGE: JSON = {"pageSize": 20, "pageToken": "p99"}
SAMPLES = {
    "add: with names": add(
        actionUser=ANA,
        notifyUsers=[{"userId": "ben", "email": "ben@example.com"}, ANA],
        **WORDS,
        displayHeadlineMessageTemplateData={"actionUser": ANA, "recipientUser": BEN, "own": "text"},
    ),
    "add: with permission verification": add(
        actionUser={"userId": "ana"},
        verifyUserPermissions=True,
        notifyUsers=[{"userId": "ben"}],
        notifyAll=False,
        **WORDS,
        displayHeadlineMessageTemplateData={"recipientUser": {"userId": "ben"}},
    ),
    "add: with context": add(
        actionUser=ANA,
        context={"access": {"entityId": "visitors", "dashboardId": "mine"}},
        notifyUsers=[{"userId": "ben"}],
        notifyAll=False,
        **WORDS,
        displayHeadlineMessageTemplateData={"entityName": "Visitors"},
    ),
    "add: with the notification resolver": add(
        actionUser=ANA,
        notificationId="custom-001",
        isNotificationResolverUsed=True,
        notificationSource="custom",
        notifyUsers=[{"userId": "ben", "email": "ben@example.com"}],
        notifyAll=False,
    ),
    "add: as in velt-py and Node": add(
        actionUser=ANA, notifyUsers=[BEN], createOrganization=True, createDocument=True, **WORDS
    ),
    "config/set: for documents": config_set(
        "ben", documentIds=["doc-1"], config={"inbox": "ALL", "email": "ALL"}
    ),
    "config/set: for the organization": config_set("ben", config={"inbox": "ALL", "email": "MINE"}),
    "config/set: for several, as in Node": config_set(
        "ben", "dan", config={"inbox": "ALL", "email": "MINE", "slack": "NONE"}
    ),
    "workspace get": workspace(WORKSPACE_GET, "retrieved"),
    "workspace update: a delay": workspace(
        WORKSPACE_UPDATE,
        "updated",
        useNotificationService=True,
        notificationServiceConfig={"delayConfig": {"isEnabled": True, "delaySeconds": 30}},
    ),
    "workspace update: as in velt-py and Node": workspace(
        WORKSPACE_UPDATE, "updated", useNotificationService=True
    ),
    "update: an array of entries": update({"n-1": UPDATED}, notifications=[{"id": "n-1", **TEXT}]),
    "update: one entry as an object": update({"n-1": UPDATED}, notifications={"id": "n-1", **TEXT}),
    "update: a map from id to fields": update({"n-1": UPDATED}, notifications={"n-1": TEXT}),
    "update: entries under notificationId": update(
        {"n-1": UPDATED}, notifications=[{"notificationId": "n-1", **TEXT}]
    ),
    "update: read states": update(
        {"n-1": UPDATED},
        documentId="doc-1",
        notifications=[{"id": "n-1", "readByUserIds": ["ben"], "persistReadForUsers": True}],
    ),
    "update: some are not found": update(
        {"gone": NOT_UPDATED, "n-1": UPDATED}, notifications=[{"id": "gone", **TEXT}, {"id": "n-1", **TEXT}]
    ),
    "update: every filter": update(
        {"n-1": UPDATED},
        documentId="doc-1",
        locationId="loc",
        userId="ben",
        notifications=[{"id": "n-1", **TEXT}],
    ),
    "update: document": update({"n-1": UPDATED}, documentId="doc-1", notifications=[{"id": "n-1", **TEXT}]),
    "update: document and place": update(
        {"n-1": UPDATED}, documentId="doc-1", locationId="loc", notifications=[{"id": "n-1", **TEXT}]
    ),
    "update: document and user": update(
        {"n-1": UPDATED}, documentId="doc-1", userId="ben", notifications=[{"id": "n-1", **TEXT}]
    ),
    "update: user": update({"n-1": UPDATED}, userId="ben", notifications=[{"id": "n-1", **TEXT}]),
    # The Node SDK's own sample; the backend ignores `read`, so nothing was done.
    "update: read, as in Node": update(
        {"n-1": NOT_UPDATED}, userId="ben", notifications=[{"notificationId": "n-1", "read": True}]
    ),
    # velt-py's own sample, likewise.
    "update: isRead, as in velt-py": update({"n-1": NOT_UPDATED}, notifications={"n-1": {"isRead": True}}),
    "get: by document": get("n-2", "n-1", documentId="doc-1", **PAGE),
    "get: by document and ids": get("n-1", documentId="doc-1", notificationIds=["n-1"]),
    "get: by document and place": get("n-1", documentId="doc-1", locationId="loc", **PAGE),
    "get: by document, place and ids": get(
        "n-1", documentId="doc-1", locationId="loc", notificationIds=["n-1"]
    ),
    "get: by user": get("n-2", "n-1", userId="ben", **PAGE),
    "get: by user and ids": get("n-1", userId="ben", notificationIds=["n-1"]),
    "get: by document and user": get("n-2", "n-1", documentId="doc-1", userId="ben", **PAGE),
    "get: by place and user": get("n-1", userId="ben", locationId="loc", **PAGE),
    "get: by document, place and user": get(
        "n-1", documentId="doc-1", userId="ben", locationId="loc", **PAGE
    ),
    "get: by user, as in velt-py and Node": get("n-2", "n-1", userId="ben", pageSize=10, order="desc"),
    "get: in pages": get("n-1", documentId="doc-1", pageSize=1, order="asc"),
    "delete: by ids": delete({"n-1": DELETED}, notificationIds=["n-1"]),
    "delete: by ids, some not found": delete(
        {"n-1": DELETED, "gone": NOT_DELETED}, notificationIds=["n-1", "gone"]
    ),
    "delete: by document": delete({"n-1": DELETED, "n-2": DELETED}, documentId="doc-1"),
    "delete: by document and place": delete({"n-1": DELETED}, documentId="doc-1", locationId="loc"),
    "delete: by document and user": delete(
        {"n-1": DELETED, "n-2": DELETED}, documentId="doc-1", userId="ben"
    ),
    "delete: by document, place and user": delete(
        {"n-1": DELETED}, documentId="doc-1", locationId="loc", userId="ben"
    ),
    "delete: by user": delete({"n-1": DELETED, "n-2": DELETED}, userId="ben"),
    "delete: by document and ids": delete({"n-1": DELETED}, documentId="doc-1", notificationIds=["n-1"]),
    "delete: by document, place and ids": delete(
        {"n-1": DELETED}, documentId="doc-1", locationId="loc", notificationIds=["n-1"]
    ),
    "delete: by place and user": delete({"n-1": DELETED}, locationId="loc", userId="ben"),
    "delete: by place, user and ids": delete(
        {"n-1": DELETED}, locationId="loc", userId="ben", notificationIds=["n-1"]
    ),
    "delete: by user and ids": delete({"n-1": DELETED}, userId="ben", notificationIds=["n-1"]),
    "delete: by document, user and ids": delete(
        {"n-1": DELETED}, documentId="doc-1", userId="ben", notificationIds=["n-1"]
    ),
    "config/get: by documents": config_get("doc-1", userId="ben", documentIds=["doc-1"]),
    "config/get: the organization's level": config_get(None, userId="ben", getOrganizationConfig=True),
    "config/get: both": config_get(
        None, "doc-1", userId="ben", documentIds=["doc-1"], getOrganizationConfig=True
    ),
    # The sample of both official SDKs: neither documents nor the organization's flag.
    "config/get: by user alone": config_get(None, userId="ben"),
}


@pytest.fixture
def filled(api: Api) -> Api:
    """Two notifications for Ben in one document, the first at a place, and preferences of his."""
    api.add(location={"id": "loc"})
    api.add(notificationId="n-2")
    for documents in ({}, {"documentIds": ["doc-1"]}):
        wanted = {"organizationId": "acme", "userIds": ["ben"], "config": {"inbox": "MINE"}, **documents}
        assert api.velt("notifications/config/set", wanted).status_code == 200
    return api


@pytest.mark.parametrize("name", SAMPLES)
def test_documented_sample_is_answered_as_documented(filled: Api, name: str) -> None:
    sample = SAMPLES[name]
    reply = filled.velt(sample.path, sample.asked)
    assert reply.status_code == 200, reply.data
    result = reply.get_json()["result"]
    assert (result["status"], result["message"]) == ("success", sample.message)
    if callable(sample.answered):
        assert sample.answered(result["data"]), result
    else:
        assert result["data"] == sample.answered, result


def test_documented_update_with_permission_verification_applies_under_the_document_policy(
    make_api: Callable[..., Api], velt: Velt
) -> None:
    api = make_api(RESOLVER_READ_POLICY="document", RESOLVER_PERMISSION_URL="http://127.0.0.1:1/")
    api.add()
    asked = {"organizationId": "acme", "documentId": "doc-1", "verifyUserPermissions": True}
    reply = api.velt(UPDATE, {**asked, "notifications": [{"id": "n-1", **TEXT}]})
    assert reply.get_json()["result"]["data"] == {"n-1": UPDATED}


def test_documented_update_with_permission_verification_is_refused_where_nobody_verifies(api: Api) -> None:
    """Velt would show the new text only to people who may see the document. Here no provider verifies
    that."""
    api.add()
    asked = {"organizationId": "acme", "documentId": "doc-1", "verifyUserPermissions": True}
    reply = api.velt(UPDATE, {**asked, "notifications": [{"id": "n-1", **TEXT}]})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert "RESOLVER_READ_POLICY" in reply.get_json()["error"]["message"]
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_every_field_that_velt_py_s_requests_have_is_taken(filled: Api) -> None:
    """A field that the SDK can send and that is refused here would not be drop-in."""
    requests = (
        ("notifications/add", notification_api.AddNotificationsRequest, ADD_FIELDS),
        (UPDATE, notification_api.UpdateNotificationsRequest, UPDATE_FIELDS),
        (GET, notification_api.GetNotificationsRequest, GET_FIELDS),
        (DELETE, notification_api.DeleteNotificationsRequest, DELETE_FIELDS),
        (CONFIG_GET, notification_api.GetNotificationConfigRequest, CONFIG_GET_FIELDS),
        ("notifications/config/set", notification_api.SetNotificationConfigRequest, CONFIG_SET_FIELDS),
    )
    for path, kind, fields in requests:
        assert fields.keys() == kind.__dataclass_fields__.keys(), path
        reply = filled.velt(path, fields)
        assert reply.status_code == 200, (path, reply.data)


PERSON = {"userId": "ana", "name": "Ana Lima"}
ADD_FIELDS: JSON = {
    "organizationId": "acme",
    "documentId": "doc-1",
    "actionUser": PERSON,
    "displayHeadlineMessageTemplate": "{actionUser} wrote",
    "displayBodyMessage": "A body",
    "notifyUsers": [{"userId": "ben"}],
    "createOrganization": True,
    "createDocument": True,
    "verifyUserPermissions": False,
    "notificationId": "n-3",
    "displayHeadlineMessageTemplateData": {"actionUser": PERSON},
    "displayBodyMessageTemplate": "{word}",
    "displayBodyMessageTemplateData": {"word": "hello"},
    "notifyAll": False,
    "notificationSourceData": {"page": 1},
    "location": {"id": "loc"},
    "metadata": {"own": 1},
    "isNotificationResolverUsed": True,
    "isCrossOrganizationEnabled": True,
    "context": {"access": {"team": "red"}},
}
FILTERS: JSON = {"organizationId": "acme", "documentId": "doc-1", "locationId": "loc", "userId": "ben"}
UPDATE_FIELDS: JSON = {
    **FILTERS,
    "notifications": [{"id": "n-1", **TEXT}],
    "verifyUserPermissions": False,
}
GET_FIELDS: JSON = {
    **FILTERS,
    "notificationIds": ["n-1"],
    "pageSize": 10,
    "pageToken": "p99",
    "order": "desc",
}
DELETE_FIELDS: JSON = {**FILTERS, "notificationIds": ["n-1"]}
CONFIG_GET_FIELDS: JSON = {
    "organizationId": "acme",
    "userId": "ben",
    "documentIds": ["doc-1"],
    "getOrganizationConfig": True,
}
CONFIG_SET_FIELDS: JSON = {
    "organizationId": "acme",
    "userIds": ["ben"],
    "documentIds": ["doc-1"],
    "config": {"inbox": "ALL"},
}
