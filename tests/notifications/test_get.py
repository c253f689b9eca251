"""Get: Velt's structure, our content, for the trusted backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from resolver.wiring import Services
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


def test_fields_for_the_backend_are_returned_to_it(api: Api) -> None:
    location = {"id": "loc", "locationName": "Chapter 1"}
    api.add(metadata={"ours": 1, "organizationId": "forged"}, location=location)
    (item,) = get(api)
    assert item["metadata"]["ours"] == 1
    assert item["metadata"]["organizationId"] == "acme"
    assert item["location"] == location
    assert not {"metadata", "location"} & api.read("n-1")["n-1"].keys()


def test_item_is_returned_unchanged_when_no_content_is_held(api: Api, services: Services) -> None:
    api.add()
    services.store.remove("acme", "n-1")
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


def answered(velt: Velt, *ids: str) -> None:
    """Velt answers the next get with rows of these ids, whatever was asked."""
    rows = [{"id": id_, "notificationSource": "custom"} for id_ in ids]
    body = {"result": {"status": "success", "message": "m", "data": rows}}
    velt.break_with(path="/v2/notifications/get", body=body, count=1)


@pytest.mark.parametrize(
    "filters",
    [
        {"documentId": "doc-2"},
        {"documentId": "doc-1", "locationId": "elsewhere"},
        {"documentId": "doc-1", "userId": "mallory"},
        {"documentId": "doc-1", "notificationIds": ["n-2"]},
    ],
)
def test_content_is_not_merged_into_items_that_the_filters_do_not_select(
    make_api: Callable[..., Api], velt: Velt, tmp_path: Path, filters: JSON
) -> None:
    """A hostile or confused Velt must not decide which of our records are shown."""
    log = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(log))
    api.add(location={"id": "here"})
    answered(velt, "n-1")
    assert get(api, **filters) == [{"id": "n-1", "notificationSource": "custom"}]
    (event,) = [
        line for line in map(orjson.loads, log.read_bytes().splitlines()) if line.get("action") == "get"
    ]
    assert (event.get("ids"), event.get("denied")) == (None, ["n-1"])


def test_content_is_not_merged_by_location_when_it_has_none(api: Api, velt: Velt) -> None:
    api.add()
    answered(velt, "n-1")
    assert get(api, locationId="somewhere") == [{"id": "n-1", "notificationSource": "custom"}]


@pytest.mark.parametrize(("kept", "asked"), [(7, "7"), ("7", 7)])
def test_location_is_the_same_as_text_and_as_number(api: Api, kept: object, asked: object) -> None:
    api.add(locationId=kept)
    assert get(api, locationId=asked)[0]["displayBodyMessage"]


def test_page_size_has_no_limit_of_ours_and_a_page_token_is_any_text(api: Api, velt: Velt) -> None:
    for asked in ({"pageSize": 2**53 - 1}, {"pageToken": "t" * 5000}):
        answered(velt, "n-1")
        get(api, **asked)
        assert velt.sent("/v2/notifications/get")[-1].items() >= asked.items()


def test_pages_and_order_are_passed_through(api: Api) -> None:
    for n in range(3):
        api.add(notificationId=f"n-{n}")
    data = {"organizationId": "acme", "documentId": "doc-1", "pageSize": 2, "order": "asc"}
    first = api.velt("notifications/get", data).get_json()["result"]
    second = api.velt("notifications/get", {**data, "pageToken": first["pageToken"]}).get_json()["result"]
    assert [item["id"] for item in first["data"] + second["data"]] == ["n-0", "n-1", "n-2"]
    assert all("displayBodyMessage" in item for item in first["data"] + second["data"])


def test_get_fails_when_redis_is_down(make_api: Callable[..., Api], api: Api) -> None:
    api.add()
    broken = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    reply = broken.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1"})
    assert error_of(reply) == (503, "UNAVAILABLE")


def test_an_answer_that_names_one_id_many_times_gets_its_content_once(api: Api, velt: Velt) -> None:
    api.add()
    rows = [{"id": "n-1", "notificationSource": "custom"}] * 100
    velt.break_with(path="/v2/notifications/get", body={"result": {"status": "success", "data": rows}})
    assert sum("displayBodyMessage" in item for item in get(api)) == 1
