"""Get: Velt's structure, our content, for the trusted backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resolver.services import Services
from tests.support import JSON, Api, Velt, error_of, notification


def get(api: Api, **filters: Any) -> list[JSON]:
    reply = api.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1", **filters})
    assert reply.status_code == 200, reply.data
    items: list[JSON] = reply.get_json()["result"]["data"]
    return items


def test_items_come_with_their_content(api: Api) -> None:
    api.add(notificationSourceData={"link": "/x"})
    (item,) = get(api)
    assert item["id"] == "n-1"
    assert item["notificationSource"] == "custom"
    assert item["timestamp"] > 0
    for name in (
        "displayHeadlineMessageTemplate",
        "displayBodyMessage",
        "notificationSourceData",
        "actionUser",
    ):
        assert item[name] == {**notification(), "notificationSourceData": {"link": "/x"}}[name]


def test_what_stays_from_recipients_comes_back_to_the_backend(api: Api) -> None:
    location = {"id": "loc", "locationName": "Chapter 1"}
    api.add(metadata={"ours": 1, "organizationId": "forged"}, location=location)
    (item,) = get(api)
    assert item["metadata"]["ours"] == 1
    assert item["metadata"]["organizationId"] == "acme"
    assert item["location"] == location
    assert not {"metadata", "location"} & api.read("n-1")["n-1"].keys()


def test_an_item_whose_content_is_not_held_comes_as_velt_has_it(api: Api, services: Services) -> None:
    api.add()
    services.vault.remove("acme", "n-1")
    (item,) = get(api)
    assert (item["id"], item["actionUser"]) == ("n-1", {"userId": "ana"})
    assert "displayBodyMessage" not in item


def test_notifications_of_other_sources_are_left_alone(api: Api, velt: Velt) -> None:
    api.add(notificationId="same")
    item = {"id": "same", "notificationSource": "comment", "displayBodyMessage": "from Velt"}
    velt.break_with(
        body={"result": {"status": "success", "message": "m", "data": [item, "odd", {"id": 7}]}}, count=1
    )
    assert get(api) == [item, "odd", {"id": 7}]


def test_pages_and_order_are_velts(api: Api) -> None:
    for n in range(3):
        api.add(notificationId=f"n-{n}")
    data = {"organizationId": "acme", "documentId": "doc-1", "pageSize": 2, "order": "asc"}
    first = api.velt("notifications/get", data).get_json()["result"]
    second = api.velt("notifications/get", {**data, "pageToken": first["pageToken"]}).get_json()["result"]
    assert [item["id"] for item in first["data"] + second["data"]] == ["n-0", "n-1", "n-2"]
    assert all("displayBodyMessage" in item for item in first["data"] + second["data"])


def test_a_redis_that_is_down_is_not_an_empty_content(make_api: Callable[..., Api], api: Api) -> None:
    api.add()
    broken = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    reply = broken.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1"})
    assert error_of(reply) == (503, "UNAVAILABLE")
