"""The Velt-compatible API: its credentials, documented errors, and nothing sent that Velt would refuse.
`test_drop_in.py` has the answers to documented samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from resolver.velt.client import VeltEndpoint
from tests.support import API_KEY, BACKEND, CALLER_TOKEN, JSON, VELT_TOKEN, Api, Velt, error_of, notification
from tests.velt.test_client import raw_server

MakeApi = Callable[..., Api]
ORG = {"organizationId": "org1"}


def test_config_get_gives_back_what_was_set(api: Api) -> None:
    api.velt(
        "notifications/config/set",
        {**ORG, "userIds": ["u"], "documentIds": ["d"], "config": {"inbox": "MINE"}},
    )
    data = {**ORG, "userId": "u", "documentIds": ["d"]}
    result = api.velt("notifications/config/get", data).get_json()["result"]
    assert result["message"] == "User config fetched successfully."
    assert result["data"][0]["config"]["inbox"] == "MINE"


@pytest.mark.parametrize("body", [b"", b'{"data":{}}', b"{}"])
def test_workspace_get_needs_no_body(api: Api, body: bytes) -> None:
    result = api.post("/v2/workspace/notificationconfig/get", body).get_json()["result"]
    assert (result["status"], result["message"]) == (
        "success",
        "Notification configuration retrieved successfully.",
    )
    assert result["data"].keys() == {"useNotificationService", "notificationServiceConfig"}


def test_workspace_get_needs_no_content_type(api: Api) -> None:
    assert api.client.post("/v2/workspace/notificationconfig/get", headers=BACKEND).status_code == 200


def workspace_update(api: Api, **data: Any) -> JSON:
    reply = api.velt("workspace/notificationconfig/update", data)
    assert reply.status_code == 200, reply.data
    result = reply.get_json()["result"]
    assert result["message"] == "Notification configuration updated successfully."
    stored: JSON = result["data"]
    return stored


def test_workspace_update_merges_deeply_and_keeps_what_is_omitted(api: Api) -> None:
    workspace_update(api, notificationServiceConfig={"delayConfig": {"isEnabled": True, "delaySeconds": 30}})
    stored = workspace_update(api, notificationServiceConfig={"delayConfig": {"isEnabled": False}})
    assert stored["notificationServiceConfig"]["delayConfig"] == {"isEnabled": False, "delaySeconds": 30}


def test_the_first_enable_seeds_triggers_even_beside_delays_and_keeps_what_is_sent(api: Api) -> None:
    workspace_update(api, notificationServiceConfig={"delayConfig": {"delaySeconds": 60}})
    sent = {"triggers": {"huddle": {"join": False}}}
    stored = workspace_update(api, useNotificationService=True, notificationServiceConfig=sent)
    triggers = stored["notificationServiceConfig"]["triggers"]
    assert any(triggers["comment"].values())
    assert triggers["huddle"]["join"] is False
    assert "batchConfig" not in stored["notificationServiceConfig"]


def test_a_later_update_does_not_seed_again(api: Api) -> None:
    first = workspace_update(api, useNotificationService=True)["notificationServiceConfig"]["triggers"]
    off = {group: dict.fromkeys(events, False) for group, events in first.items()}
    workspace_update(api, notificationServiceConfig={"triggers": off})
    again = workspace_update(api, useNotificationService=True)["notificationServiceConfig"]["triggers"]
    assert again == off


ANY_DATA = {
    VeltEndpoint.ADD: notification(),
    VeltEndpoint.UPDATE: {**ORG, "notifications": [{"id": "n-1", "displayBodyMessage": "x"}]},
    VeltEndpoint.GET: {**ORG, "documentId": "d"},
    VeltEndpoint.DELETE: {**ORG, "notificationIds": ["n-1"]},
    VeltEndpoint.CONFIG_SET: {**ORG, "userIds": ["u"], "config": {"inbox": "ALL"}},
    VeltEndpoint.CONFIG_GET: {**ORG, "userId": "u", "documentIds": ["d"]},
    VeltEndpoint.WORKSPACE_GET: {},
    VeltEndpoint.WORKSPACE_UPDATE: {"useNotificationService": True},
}


@pytest.mark.parametrize("endpoint", VeltEndpoint)
def test_every_endpoint_answers_for_a_backend_and_only_for_a_backend(
    api: Api, velt: Velt, endpoint: VeltEndpoint
) -> None:
    body = {"data": ANY_DATA[endpoint]}
    assert api.post(endpoint, body).status_code == 200
    before = len(velt.ledger())
    for headers, status in (
        ({}, "UNAUTHENTICATED"),
        ({"x-velt-api-key": API_KEY}, "UNAUTHENTICATED"),
        ({"x-velt-auth-token": CALLER_TOKEN}, "UNAUTHENTICATED"),
        ({"x-velt-api-key": "other", "x-velt-auth-token": CALLER_TOKEN}, "PERMISSION_DENIED"),
        ({"x-velt-api-key": API_KEY, "x-velt-auth-token": VELT_TOKEN}, "PERMISSION_DENIED"),
        ({"authorization": f"Bearer {api.token('ben', 'org1')}"}, "UNAUTHENTICATED"),
        ({"x-velt-api-key": API_KEY, "x-velt-auth-token": api.token("ben", "org1")}, "PERMISSION_DENIED"),
    ):
        reply = api.post(endpoint, body, headers)
        expected = (401, status) if status == "UNAUTHENTICATED" else (403, status)
        assert error_of(reply) == expected
    assert len(velt.ledger()) == before


def test_a_wrong_credential_is_refused_in_velts_own_words(api: Api) -> None:
    reply = api.post(
        VeltEndpoint.GET, {"data": {}}, {"x-velt-api-key": API_KEY, "x-velt-auth-token": "wrong"}
    )
    assert reply.get_json() == {"error": {"message": "Invalid API key.", "status": "PERMISSION_DENIED"}}


@pytest.mark.parametrize("endpoint", [e for e in VeltEndpoint if e is not VeltEndpoint.WORKSPACE_GET])
@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": []}, {"data": "x"}, {"organizationId": "unwrapped"}]
)
def test_missing_data_is_refused_before_anything_is_sent(
    api: Api, velt: Velt, endpoint: VeltEndpoint, body: JSON
) -> None:
    assert error_of(api.post(endpoint, body)) == (400, "INVALID_ARGUMENT")
    assert velt.ledger() == []


@pytest.mark.parametrize(
    ("endpoint", "data"),
    [
        (VeltEndpoint.ADD, notification(notificationId="a b")),
        (VeltEndpoint.ADD, notification(notificationSource="comment")),
        (VeltEndpoint.WORKSPACE_UPDATE, {}),
        (VeltEndpoint.WORKSPACE_UPDATE, {"notificationServiceConfig": {"delayConfig": {"delaySeconds": 9}}}),
        (VeltEndpoint.CONFIG_SET, {**ORG, "userIds": ["u"], "config": {"inbox": "SOME"}}),
        (VeltEndpoint.CONFIG_GET, ORG),
        (VeltEndpoint.GET, ORG),
        (VeltEndpoint.DELETE, {**ORG, "notificationIds": []}),
        (VeltEndpoint.UPDATE, {**ORG, "notifications": []}),
    ],
)
def test_what_velt_would_refuse_is_never_sent(
    api: Api, velt: Velt, endpoint: VeltEndpoint, data: JSON
) -> None:
    assert error_of(api.post(endpoint, {"data": data})) == (400, "INVALID_ARGUMENT")
    assert velt.ledger() == []


@pytest.mark.parametrize("given", [b"3\r\n x: y", b"soon"])
def test_an_odd_retry_after_of_velts_is_no_error_of_ours(make_api: MakeApi, given: bytes) -> None:
    body = b'{"error":{"message":"busy","status":"RESOURCE_EXHAUSTED"}}'
    head = b"HTTP/1.1 429 Busy\r\ncontent-length: %d\r\nretry-after: %s\r\n\r\n" % (len(body), given)
    with raw_server(head + body) as url:
        reply = make_api(VELT_API_URL=url).velt("workspace/notificationconfig/get", {})
    assert (reply.status_code, reply.json) == (429, json.loads(body))
    assert "retry-after" not in reply.headers


def test_velts_own_refusal_passes_unchanged_with_its_retry_after(api: Api, velt: Velt) -> None:
    velt.break_with(retryAfter=3, message="Slow down.", count=1)
    reply = api.post(VeltEndpoint.CONFIG_GET, {"data": ANY_DATA[VeltEndpoint.CONFIG_GET]})
    assert reply.status_code == 429
    assert reply.get_json() == {"error": {"message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    assert reply.headers["retry-after"] == "3"


@pytest.mark.parametrize("endpoint", VeltEndpoint)
@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": "before"}, {"malformed": True}])
def test_any_other_failure_at_velt_is_unavailable_where_nothing_can_wait(
    api: Api, velt: Velt, endpoint: VeltEndpoint, fault: JSON
) -> None:
    api.add(organizationId="org1")
    data = ANY_DATA[endpoint]
    if endpoint is VeltEndpoint.UPDATE:
        data = {**ORG, "notifications": [{"id": "n-1", "readByUserIds": ["u"]}]}
    velt.break_with(**fault, count=1)
    reply = api.post(endpoint, {"data": data})
    if endpoint in (VeltEndpoint.ADD, VeltEndpoint.UPDATE, VeltEndpoint.DELETE):
        assert reply.status_code == 200  # queued, and sent later
    else:
        assert error_of(reply) == (503, "UNAVAILABLE")
