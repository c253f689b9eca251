"""Unknown and misspelt keys of the Velt-compatible API: none widens a call, and none is lost silently."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import orjson
import pytest

from resolver.velt import requests
from resolver.velt.client import VeltEndpoint
from tests.support import BACKEND, JSON, Api, Velt, error_of, notification

ORG = {"organizationId": "acme"}
CONFIG = {"inbox": "NONE"}
DELAY = {"delaySecond": 30}


def message_of(api: Api, endpoint: VeltEndpoint, data: JSON) -> str:
    """Return the message of a refusal, and check that nothing was sent to Velt."""
    reply = api.post(endpoint, {"data": data})
    assert error_of(reply) == (400, "INVALID_ARGUMENT"), reply.data
    return str(reply.get_json()["error"]["message"])


@pytest.mark.parametrize(
    ("endpoint", "data", "message"),
    [
        (
            VeltEndpoint.DELETE,
            {**ORG, "documentId": "doc-1", "notificationId": ["n-1"]},
            "notificationId is not a key of this call; did you mean notificationIds?",
        ),
        (
            VeltEndpoint.DELETE,
            {**ORG, "documentId": "doc-1", "userID": "ben"},
            "userID is not a key of this call; did you mean userId?",
        ),
        (
            VeltEndpoint.CONFIG_SET,
            {**ORG, "userIds": ["ben"], "config": CONFIG, "documentId": "doc-1"},
            "documentId is not a key of this call; did you mean documentIds?",
        ),
        (
            VeltEndpoint.WORKSPACE_UPDATE,
            {"notificationServiceConfig": {"delayConfig": {"isEnabled": True, **DELAY}}},
            "notificationServiceConfig.delayConfig.delaySecond is not a key of this call; "
            "did you mean delaySeconds?",
        ),
        (
            VeltEndpoint.WORKSPACE_UPDATE,
            {"notificationServiceConfig": {"batchConfig": {"document": {"maxActivitys": 2}}}},
            "notificationServiceConfig.batchConfig.document.maxActivitys is not a key of this call; "
            "did you mean maxActivities?",
        ),
        (
            VeltEndpoint.WORKSPACE_UPDATE,
            {"useNotificationService": True, "value": 1},
            "value is not a key of this call, which takes notificationServiceConfig, useNotificationService",
        ),
        (
            VeltEndpoint.UPDATE,
            {**ORG, "documentID": "doc-2", "notifications": [{"id": "n-1", "readByUserIds": ["ben"]}]},
            "documentID is not a key of this call; did you mean documentId?",
        ),
    ],
)
def test_unknown_key_is_refused_where_something_is_deleted_or_set(
    api: Api, velt: Velt, endpoint: VeltEndpoint, data: JSON, message: str
) -> None:
    api.add()
    before = velt.ledger()
    assert message_of(api, endpoint, data) == message
    assert velt.ledger() == before
    assert api.read("n-1")


def test_unknown_keys_are_all_named_up_to_five(api: Api) -> None:
    message = message_of(api, VeltEndpoint.DELETE, {**ORG, **{f"key-{n}": n for n in range(9)}})
    assert message.count("is not a key of this call") == 5


@pytest.mark.parametrize("channel", ["Inbox", "e-mail", "SLACK"])
def test_misspelt_channel_of_velts_is_refused(api: Api, velt: Velt, channel: str) -> None:
    """Otherwise the channel that the caller meant would stay unchanged."""
    data = {**ORG, "userIds": ["ben"], "config": {channel: "NONE"}}
    assert "did you mean" in message_of(api, VeltEndpoint.CONFIG_SET, data)
    assert velt.ledger() == []


def test_trigger_names_are_free(api: Api, velt: Velt) -> None:
    triggers = {"comment": {"statusChanged": True, "comment.add": False}, "own": {"any": True}}
    data = {"notificationServiceConfig": {"triggers": triggers}}
    assert api.post(VeltEndpoint.WORKSPACE_UPDATE, {"data": data}).status_code == 200
    assert velt.sent(str(VeltEndpoint.WORKSPACE_UPDATE)) == [data]


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (VeltEndpoint.GET, {**ORG, "documentId": "doc-1"}),
        (VeltEndpoint.CONFIG_GET, {**ORG, "userId": "ben"}),
        (VeltEndpoint.WORKSPACE_GET, {}),
    ],
)
def test_unknown_key_of_a_read_is_ignored_and_named(
    api: Api, velt: Velt, endpoint: VeltEndpoint, data: JSON
) -> None:
    reply = api.post(endpoint, {"data": {**data, "fresh": 1}})
    assert reply.status_code == 200, reply.data
    assert reply.get_json()["result"]["warnings"] == ["fresh is not a key of this call and was ignored"]
    assert velt.sent(str(endpoint)) == [data]
    assert "warnings" not in api.post(endpoint, {"data": data}).get_json()["result"]


@pytest.mark.parametrize(
    ("endpoint", "data", "meant"),
    [
        (VeltEndpoint.GET, {**ORG, "documentId": "doc-1", "notificationId": "n-1"}, "notificationIds"),
        (VeltEndpoint.GET, {**ORG, "documentId": "doc-1", "userid": "ben"}, "userId"),
        (VeltEndpoint.CONFIG_GET, {**ORG, "userId": "ben", "documentId": "doc-1"}, "documentIds"),
    ],
)
def test_misspelt_filter_of_a_read_is_refused(
    api: Api, velt: Velt, endpoint: VeltEndpoint, data: JSON, meant: str
) -> None:
    """If the key were ignored, the answer would hold more than the caller asked for."""
    assert message_of(api, endpoint, data).endswith(f"did you mean {meant}?")
    assert velt.ledger() == []


MISSPELT = {
    "notifyUser": "notifyUsers",
    "notifyUserIds": "notifyUsers",
    "notify_users": "notifyUsers",
    "notifyall": "notifyAll",
    "notifyAl": "notifyAll",
    "verifyUserPermission": "verifyUserPermissions",
    "verifyUsersPermission": "verifyUserPermissions",
    "Context": "context",
    "contect": "context",
    "contexts": "context",
    "notificationID": "notificationId",
    "organisationId": "organizationId",
    "metaData": "metadata",
    "locationID": "locationId",
    "readByUserId": "readByUserIds",
    "readByUsersIds": "readByUserIds",
    "persistReadForUser": "persistReadForUsers",
}


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
def test_misspelt_structural_key_is_refused_where_unknown_keys_are_content(
    api: Api, velt: Velt, name: str, meant: str
) -> None:
    """As content it would be shown to readers, and people whom it should exclude would read it."""
    api.add()
    before = velt.ledger()
    expected = f"{name} is not a key of this call; did you mean {meant}?"
    assert message_of(api, VeltEndpoint.ADD, notification(notificationId="n-2", **{name: True})) == expected
    entry = {"id": "n-1", "displayBodyMessage": "new", name: True}
    assert message_of(api, VeltEndpoint.UPDATE, {**ORG, "notifications": [entry]}) == expected
    assert velt.ledger() == before
    assert api.read("n-1", "n-2")["n-1"]["displayBodyMessage"] == notification()["displayBodyMessage"]


@pytest.mark.parametrize(
    "name",
    [
        "content",
        "organization",
        "notification",
        "fresh",
        "actionUserId",
        "notificationSourceUrl",
        "ids",
        "read",
    ],
)
def test_unknown_key_of_an_add_is_content(api: Api, name: str) -> None:
    reply = api.add(**{name: "kept"})
    assert reply.status_code == 200, reply.data
    assert api.read("n-1")["n-1"][name] == "kept"


@pytest.mark.parametrize("name", ["documentId", "locationId", "userId", "verifyUserPermissions"])
def test_filter_of_an_update_within_an_entry_is_refused(api: Api, name: str) -> None:
    """Otherwise the entry would be changed for all people, and in any document."""
    api.add()
    entry = {"id": "n-1", "displayBodyMessage": "new", name: "doc-2"}
    message = message_of(api, VeltEndpoint.UPDATE, {**ORG, "notifications": [entry]})
    assert message == f"{name} belongs beside notifications, not in an entry"
    assert api.read("n-1")["n-1"]["displayBodyMessage"] != "new"


@pytest.mark.parametrize("name", ["notificationIds", "notificationId", "userId", "notifyAll"])
def test_key_beside_data_that_belongs_into_it_is_refused(api: Api, velt: Velt, name: str) -> None:
    api.add()
    before = velt.ledger()
    body: dict[str, Any] = {"data": {**ORG, "documentId": "doc-1"}, name: ["n-1"]}
    for endpoint in VeltEndpoint:
        if endpoint is not VeltEndpoint.WORKSPACE_GET:
            assert error_of(api.post(endpoint, body)) == (400, "INVALID_ARGUMENT")
    assert velt.ledger() == before
    assert api.read("n-1")


def test_unknown_key_beside_data_is_ignored(api: Api) -> None:
    assert api.post(VeltEndpoint.ADD, {"data": notification(), "trace": "x"}).status_code == 200


def test_unknown_keys_are_ignored_on_data_provider_endpoints(api: Api) -> None:
    """The SDK sends some unknown keys, and later versions will send others."""
    api.add()
    body = {**ORG, "notificationIds": ["n-1"], "notificationID": "n-2", "event": "x", "fresh": 1}
    assert api.callback("get", body).get_json()["data"].keys() == {"n-1"}


@pytest.mark.parametrize(
    "endpoint", [VeltEndpoint.ADD, VeltEndpoint.UPDATE, VeltEndpoint.GET, VeltEndpoint.DELETE]
)
def test_a_megabyte_of_unknown_keys_is_refused_before_it_is_compared(
    api: Api, endpoint: VeltEndpoint
) -> None:
    """Each resembles a structural key in its letters, and a request's time has a bound."""
    names = [f"sUseryfinot{n:05}" for n in range(30_000)]
    entries = [{"id": f"n-{n}", **dict.fromkeys(names[n::30], 0)} for n in range(30)]
    data = {**ORG, "documentId": "d", **dict.fromkeys(names, 0)}
    if endpoint is VeltEndpoint.ADD:
        data = notification(**data)
    if endpoint is VeltEndpoint.UPDATE:
        data = {**ORG, "notifications": entries}
    body = orjson.dumps({"data": data})
    reply = api.client.post(endpoint, data=body, headers={"content-type": "application/json", **BACKEND})
    assert error_of(reply) == (413, "INVALID_ARGUMENT")
    assert "4000 different keys" in reply.get_json()["error"]["message"]


def test_a_megabyte_of_keys_beside_data_is_refused_before_it_is_compared(api: Api) -> None:
    names = dict.fromkeys((f"sUseryfinot{n:05}" for n in range(30_000)), 0)
    reply = api.post(VeltEndpoint.GET, {"data": {**ORG, "documentId": "d"}, **names})
    assert error_of(reply) == (413, "INVALID_ARGUMENT")


def test_unknown_keys_that_each_entry_repeats_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison costs some 0.1 ms, and a request's time has a bound."""
    compared: list[str] = []

    class Counting(SequenceMatcher[str]):
        def __init__(self, junk: None, letters: str, key: str) -> None:
            compared.append(letters)
            super().__init__(junk, letters, key)

    monkeypatch.setattr("resolver.validation.spelling.SequenceMatcher", Counting)
    names = [f"sUseryfinot{n:05}" for n in range(3900)]
    for entries in (1, 10):
        given = [{"id": f"n-{n}", **dict.fromkeys(names, 0)} for n in range(entries)]
        requests.parse_update({**ORG, "notifications": given})
    assert len(compared) == len(set(compared))
