"""Every kind of request that Velt's pages and its SDKs show is answered as Velt documents it.

Each sample has the keys of one documented request, in this project's own words. What adds, preferences and
the workspace's settings answer is in `test_mirror.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from velt_py.models import notification_api

from tests.support import JSON, Api, Velt, error_of

UPDATE, GET, DELETE = "notifications/update", "notifications/get", "notifications/delete"
CONFIG_GET = "notifications/config/get"
TEXT = {"displayBodyMessage": "Another body"}
UPDATED = {"success": True, "message": "Notification updated."}
NOT_UPDATED = {"success": False, "message": "Failed to update notification."}
DELETED = {"success": True, "message": "Notification deleted."}
NOT_DELETED = {"success": False, "message": "Failed to delete notification."}


class Sample(NamedTuple):
    path: str
    asked: JSON
    answered: Any
    """The reply's `data`; a function of it where it holds what differs from call to call."""
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


SAMPLES = {
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
    # The Node SDK's own sample; the backend ignores `read`, so nothing was done.
    "update: read, as in Node": update(
        {"n-1": NOT_UPDATED}, notifications=[{"notificationId": "n-1", "read": True}]
    ),
    # velt-py's own sample, likewise.
    "update: isRead, as in velt-py": update(
        {"n-1": NOT_UPDATED}, notifications=[{"id": "n-1", "isRead": True}]
    ),
    "get: by document": get("n-2", "n-1", documentId="doc-1"),
    "get: by user": get("n-2", "n-1", userId="ben"),
    "get: by document and place": get("n-1", documentId="doc-1", locationId="loc"),
    "get: by ids": get("n-1", documentId="doc-1", notificationIds=["n-1"]),
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
    """Velt would show the new text to those alone who may see the document. Here no one is asked."""
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
