"""/v2/notifications/get"""

from typing import Any

import pytest

from tests.sandbox.conftest import API_KEY, Control, Velt


def test_an_item_has_the_documented_shape(velt: Velt) -> None:
    velt.add(
        "n1",
        displayHeadlineMessageTemplate="{actionUser} did",
        displayHeadlineMessageTemplateData={"actionUser": {"userId": "actor"}},
        displayBodyMessage="something",
        notificationSourceData={"k": "v"},
        metadata={"own": 1, "organizationId": "not the caller's to say"},
    )
    reply = velt.get(documentId="doc1")
    (item,) = reply.data
    assert reply.body["result"]["message"] == "Notification(s) retrieved successfully."
    assert item.pop("timestamp") > 1_700_000_000_000
    assert item == {
        "id": "n1",
        "notificationSource": "custom",
        "notificationSourceData": {"k": "v"},
        "actionUser": {"userId": "actor"},
        "displayHeadlineMessageTemplate": "{actionUser} did",
        "displayHeadlineMessageTemplateData": {"actionUser": {"userId": "actor"}},
        "displayBodyMessage": "something",
        "metadata": {"own": 1, "apiKey": API_KEY, "documentId": "doc1", "organizationId": "org1"},
        "notifyUsers": [{"userId": "u1"}],
        "notifyUsersByUserId": {"u1": {"userId": "u1"}},
    }


def test_the_resolver_flag_and_absent_content_do_not_appear(velt: Velt) -> None:
    velt.add()
    (item,) = velt.get(documentId="doc1").data
    assert not [name for name in item if name.startswith(("display", "is"))]


def test_a_document_or_a_person_has_to_be_named(velt: Velt) -> None:
    reply = velt.get(notificationIds=["n1"])
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")
    assert reply.error["message"] == "documentId or userId is required"


def test_a_person_gets_what_was_addressed_to_them(velt: Velt) -> None:
    velt.add("mine", notifyUsers=[{"userId": "u1"}])
    velt.add("theirs", notifyUsers=[{"userId": "u2"}])
    velt.add("everyones", notifyAll=True)
    assert velt.ids(userId="u1") == ["everyones", "mine"]
    assert velt.ids(userId="u2", documentId="doc1") == ["everyones", "theirs"]


def test_location_and_ids_narrow_the_answer(velt: Velt) -> None:
    velt.add("n1", location={"id": "a"})
    velt.add("n2", location={"id": "b"})
    velt.add("n3")
    assert velt.ids(documentId="doc1", locationId="a") == ["n1"]
    assert velt.ids(documentId="doc1", notificationIds=["n3", "n1", "n1", "absent"]) == ["n3", "n1"]


def test_the_newest_comes_first_unless_asked_otherwise(velt: Velt) -> None:
    for notification_id in ("n1", "n2", "n3"):
        velt.add(notification_id)
    assert velt.ids(documentId="doc1") == ["n3", "n2", "n1"]
    assert velt.ids(documentId="doc1", order="desc") == ["n3", "n2", "n1"]
    assert velt.ids(documentId="doc1", order="asc") == ["n1", "n2", "n3"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_cover_everything_once_and_the_last_has_no_token(velt: Velt, order: str) -> None:
    expected = [f"n{number}" for number in range(5)]
    for notification_id in expected:
        velt.add(notification_id)
    seen: list[str] = []
    query: dict[str, Any] = {"documentId": "doc1", "order": order, "pageSize": 2}
    for size, more in ((2, True), (2, True), (1, False)):
        reply = velt.get(**query)
        assert (len(reply.data), "pageToken" in reply.body["result"]) == (size, more)
        seen += [item["id"] for item in reply.data]
        query["pageToken"] = reply.body["result"].get("pageToken")
    assert seen == (expected if order == "asc" else expected[::-1])


def test_a_page_that_ends_exactly_at_the_end_has_no_token(velt: Velt) -> None:
    velt.add("n1")
    velt.add("n2")
    assert "pageToken" not in velt.get(documentId="doc1", pageSize=2).body["result"]


def test_notifications_that_arrive_while_paging_do_not_shift_the_pages(velt: Velt) -> None:
    velt.add("n1")
    velt.add("n2")
    token = velt.get(documentId="doc1", pageSize=1).body["result"]["pageToken"]
    velt.add("n3")
    assert velt.ids(documentId="doc1", pageSize=1, pageToken=token) == ["n1"]


def test_thirty_ids_are_taken_and_thirty_one_are_not(velt: Velt) -> None:
    ids = [f"n{number}" for number in range(31)]
    assert velt.get(documentId="doc1", notificationIds=ids[:30]).code == 200
    assert velt.get(documentId="doc1", notificationIds=ids).error["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pageSize", 0),
        ("pageSize", "10"),
        ("pageSize", True),
        ("pageToken", ""),
        ("pageToken", "2"),
        ("pageToken", 2),
        ("order", "DESC"),
        ("order", ["asc"]),
        ("notificationIds", "n1"),
        ("notificationIds", [1]),
        ("userId", ""),
        ("locationId", True),
    ],
)
def test_a_malformed_query_is_refused_by_name(velt: Velt, field: str, value: Any) -> None:
    reply = velt.get(documentId="doc1", **{field: value})
    assert reply.code == 400
    assert reply.error["message"].startswith(field)


def test_nothing_found_is_an_empty_list(velt: Velt, control: Control) -> None:
    assert velt.get(documentId="doc1").data == []
