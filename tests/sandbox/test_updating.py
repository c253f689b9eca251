"""/v2/notifications/update"""

from typing import Any

import pytest

from tests.sandbox.conftest import Control, Velt

UPDATED = {"success": True, "message": "Notification updated."}
FAILED = {"success": False, "message": "Failed to update notification."}


@pytest.fixture(autouse=True)
def added(velt: Velt) -> None:
    velt.add("n1", location={"id": "here", "version": {"id": "1"}})


def test_each_id_has_its_own_outcome_while_the_status_stays_success(velt: Velt) -> None:
    reply = velt.update(notifications=[{"id": "missing"}, {"id": "n1", "displayBodyMessage": "new"}])
    assert reply.code == 200
    assert reply.body == {
        "result": {
            "status": "success",
            "message": "Notification(s) updated successfully.",
            "data": {"missing": FAILED, "n1": UPDATED},
        }
    }


@pytest.mark.parametrize(
    "notifications",
    [
        [{"id": "n1", "displayBodyMessage": "new"}],
        {"id": "n1", "displayBodyMessage": "new"},
        {"n1": {"displayBodyMessage": "new"}},
        [{"notificationId": "n1", "displayBodyMessage": "new"}],
        {"notificationId": "n1", "displayBodyMessage": "new"},
    ],
)
def test_all_documented_shapes_of_notifications_are_understood(
    velt: Velt, control: Control, notifications: Any
) -> None:
    assert velt.update(notifications=notifications).data == {"n1": UPDATED}
    assert control.stored()["n1"]["data"]["displayBodyMessage"] == "new"


@pytest.mark.parametrize(
    "scope",
    [
        {"documentId": "doc1"},
        {"documentId": "doc1", "locationId": "here"},
        {"documentId": "doc1", "userId": "u1"},
        {"userId": "u1"},
        {"documentId": "doc1", "userId": "u1", "locationId": "here"},
        {"documentId": "doc1", "verifyUserPermissions": True},
    ],
)
def test_every_documented_scope_reaches_the_notification(velt: Velt, scope: dict[str, Any]) -> None:
    entry = {"id": "n1", "displayBodyMessage": "This is body message (Secondary message)"}
    assert velt.update(**scope, notifications=[entry]).data == {"n1": UPDATED}


@pytest.mark.parametrize(
    "scope", [{"documentId": "doc2"}, {"locationId": "there"}, {"userId": "u2"}, {"organizationId": "org2"}]
)
def test_a_notification_outside_the_scope_stays_as_it_is(
    velt: Velt, control: Control, scope: dict[str, str]
) -> None:
    assert velt.update(**scope, notifications=[{"id": "n1", "displayBodyMessage": "x"}]).data == {
        "n1": FAILED
    }
    assert "displayBodyMessage" not in control.stored()["n1"]["data"]


def test_a_location_is_found_by_number_or_by_string(velt: Velt) -> None:
    velt.add("n2", location={"id": 7})
    for location in (7, "7"):
        assert velt.update(locationId=location, notifications=[{"id": "n2"}]).data == {"n2": UPDATED}


def test_fields_are_laid_on_top_of_what_is_held_key_by_key(velt: Velt, control: Control) -> None:
    velt.update(notifications=[{"id": "n1", "metadata": {"a": 1, "b": 2}}])
    velt.update(notifications=[{"id": "n1", "metadata": {"a": 3}, "notifyUsers": [{"userId": "u2"}]}])
    held = control.stored()["n1"]["data"]
    assert held["metadata"] == {"a": 3}
    assert held["notifyUsers"] == [{"userId": "u2"}]
    assert held["actionUser"] == {"userId": "actor"}


def test_read_and_archive_flags_the_resolver_flag_and_identity_cannot_be_updated(
    velt: Velt, control: Control
) -> None:
    before = control.stored()["n1"]["data"]
    change = {"isRead": True, "isArchived": True, "isNotificationResolverUsed": False, "documentId": "doc2"}
    assert velt.update(notifications=[{"id": "n1", **change}]).data == {"n1": UPDATED}
    assert control.stored()["n1"]["data"] == before


def test_reading_takes_it_out_of_for_you_and_leaves_it_in_the_feed(velt: Velt, control: Control) -> None:
    velt.update(notifications=[{"id": "n1", "readByUserIds": ["u1"]}])
    (item,) = control.inbox("u1")
    assert (item["isUnread"], item["forYou"]) == (False, False)


def test_a_read_that_persists_stays_in_for_you(velt: Velt, control: Control) -> None:
    velt.update(notifications=[{"id": "n1", "readByUserIds": ["u1"], "persistReadForUsers": True}])
    (item,) = control.inbox("u1")
    assert (item["isUnread"], item["forYou"]) == (False, True)
    assert control.stored()["n1"]["persistReadForUserIds"] == ["u1"]


def test_reads_add_up_and_are_no_part_of_the_notification(velt: Velt, control: Control) -> None:
    for user_id in ("u1", "u2"):
        velt.update(notifications=[{"id": "n1", "readByUserIds": [user_id]}])
    record = control.stored()["n1"]
    assert record["readByUserIds"] == ["u1", "u2"]
    assert "readByUserIds" not in record["data"]


def test_with_permissions_verified_only_people_with_access_are_updated(velt: Velt, control: Control) -> None:
    control.declare(documents={"doc1": {"members": ["u1"]}})
    entry = {"id": "n1", "readByUserIds": ["u1", "outsider"]}
    assert velt.update(verifyUserPermissions=True, notifications=[entry]).data == {"n1": UPDATED}
    assert control.stored()["n1"]["readByUserIds"] == ["u1"]


@pytest.mark.parametrize(
    ("notifications", "message"),
    [
        (None, "notifications must be an object"),
        ([], "notifications must not be empty"),
        ({}, "notifications must not be empty"),
        (["n1"], "notifications[0] must be an object"),
        ([{}], "notifications[0].id is required"),
        ([{"id": 5}], "notifications[0].id must be a string"),
        ({"n1": "x"}, "notifications.n1 must be an object"),
        (
            [{"id": "n1"}, {"id": "n1", "readByUserIds": "u1"}],
            "notifications[1].readByUserIds must be an array",
        ),
        ([{"id": "n1", "persistReadForUsers": 1}], "notifications[0].persistReadForUsers must be a boolean"),
        ([{"id": "n1", "actionUser": {}}], "notifications[0].actionUser.userId is required"),
        ([{"id": "n1", "displayBodyMessage": None}], "notifications[0].displayBodyMessage must be a string"),
    ],
)
def test_a_malformed_update_is_refused_whole_and_says_where(
    velt: Velt, notifications: Any, message: str
) -> None:
    reply = velt.update(notifications=notifications)
    assert (reply.code, reply.error) == (400, {"message": message, "status": "INVALID_ARGUMENT"})


def test_organization_and_notifications_are_required(velt: Velt) -> None:
    assert velt.update().error["message"] == "notifications is required"
    reply = velt.post("/v2/notifications/update", {"notifications": [{"id": "n1"}]})
    assert reply.error["message"] == "organizationId is required"
