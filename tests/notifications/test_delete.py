"""Delete: content goes with the notification, and nothing else goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import JSON, Api, Velt, error_of

DELETE = "/v2/notifications/delete"


def delete(api: Api, **data: Any) -> JSON:
    reply = api.velt("notifications/delete", {"organizationId": "acme", **data})
    assert reply.status_code == 200, reply.data
    assert reply.get_json()["result"]["message"] == "Notification(s) deleted successfully."
    outcomes: JSON = reply.get_json()["result"]["data"]
    return outcomes


def test_with_ids_content_goes_here_and_the_notification_at_velt(api: Api, velt: Velt) -> None:
    api.add()
    api.add(notificationId="n-2")
    assert delete(api, notificationIds=["n-1"])["n-1"]["success"] is True
    assert api.read("n-1", "n-2").keys() == {"n-2"}
    assert [item["id"] for item in velt.inbox("ben")] == ["n-2"]


def test_content_is_gone_even_when_velt_is_down(api: Api, velt: Velt) -> None:
    api.add()
    velt.break_with(status=500, count=1)
    assert delete(api, notificationIds=["n-1"]) == {
        "n-1": {"success": True, "message": "Notification deleted."}
    }
    assert api.read("n-1") == {}


def test_without_ids_velt_decides_which_and_content_follows(api: Api, velt: Velt) -> None:
    for n, document in enumerate(("doc-1", "doc-1", "doc-2")):
        api.add(notificationId=f"n-{n}", documentId=document)
    assert delete(api, documentId="doc-1").keys() == {"n-0", "n-1"}
    assert api.read("n-0", "n-1", "n-2").keys() == {"n-2"}


def test_without_ids_and_without_velt_nothing_goes(api: Api, velt: Velt) -> None:
    api.add()
    velt.break_with(drop="before", count=1)
    reply = api.velt("notifications/delete", {"organizationId": "acme", "documentId": "doc-1"})
    assert error_of(reply) == (503, "UNAVAILABLE")
    assert api.read("n-1")


@pytest.mark.parametrize("ids", [[], None])
def test_an_empty_list_of_ids_is_refused_and_never_widened(api: Api, velt: Velt, ids: Any) -> None:
    api.add()
    reply = api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ids})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert velt.ledger(DELETE) == []
    assert api.read("n-1")


def test_pending_or_not_what_the_filters_do_not_mean_is_no_success(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    failed = {"success": False, "message": "Failed to delete notification."}
    assert delete(api, documentId="doc-2", notificationIds=["n-1"]) == {"n-1": failed}
    assert api.read("n-1")


def test_another_document_or_organization_keeps_its_content(api: Api) -> None:
    api.add()
    delete(api, documentId="doc-2", notificationIds=["n-1"])
    delete(api, organizationId="zeta", notificationIds=["n-1"])
    assert api.read("n-1")


@pytest.mark.parametrize("filters", [{"userId": "nobody"}, {"locationId": "elsewhere"}])
def test_what_the_filters_do_not_mean_keeps_its_content(api: Api, filters: dict[str, str]) -> None:
    api.add(location={"id": "here"})
    delete(api, notificationIds=["n-1"], **filters)
    assert api.read("n-1")


def test_many_ids_go_to_velt_in_calls_of_thirty(api: Api, velt: Velt) -> None:
    ids = [f"n-{n}" for n in range(65)]
    assert delete(api, notificationIds=[*ids, *ids]).keys() == set(ids)
    assert [len(sent["notificationIds"]) for sent in velt.sent(DELETE)] == [30, 30, 5]
