"""/v2/notifications/delete"""

import pytest

from tests.sandbox.conftest import Velt

DELETED = {"success": True, "message": "Notification deleted."}
FAILED = {"success": False, "message": "Failed to delete notification."}


@pytest.fixture(autouse=True)
def added(velt: Velt) -> None:
    velt.add("n1")
    velt.add("n2", documentId="doc2")
    velt.add("n3", documentId="doc2", notifyUsers=[{"userId": "u2"}], location={"id": "here"})


def test_each_id_has_its_own_outcome(velt: Velt) -> None:
    reply = velt.delete(notificationIds=["n1", "missing"])
    assert reply.body == {
        "result": {
            "status": "success",
            "message": "Notification(s) deleted successfully.",
            "data": {"n1": DELETED, "missing": FAILED},
        }
    }
    assert velt.ids(documentId="doc1") == []


def test_deleting_twice_fails_for_the_id_and_not_for_the_call(velt: Velt) -> None:
    velt.delete(notificationIds=["n1"])
    reply = velt.delete(notificationIds=["n1"])
    assert (reply.code, reply.data) == (200, {"n1": FAILED})


def test_an_id_outside_the_scope_stays(velt: Velt) -> None:
    assert velt.delete(documentId="doc2", notificationIds=["n1"]).data == {"n1": FAILED}
    assert velt.ids(documentId="doc1") == ["n1"]


def test_without_ids_the_whole_scope_goes(velt: Velt) -> None:
    assert velt.delete(documentId="doc2").data == {"n2": DELETED, "n3": DELETED}
    assert velt.ids(documentId="doc1") == ["n1"]
    assert velt.delete().data == {"n1": DELETED}


def test_an_empty_list_of_ids_is_no_list_and_deletes_the_scope(velt: Velt) -> None:
    assert velt.delete(documentId="doc2", notificationIds=[]).data == {"n2": DELETED, "n3": DELETED}


def test_a_scope_may_be_a_person_or_a_location(velt: Velt) -> None:
    assert velt.delete(userId="u1", documentId="doc2").data == {"n2": DELETED}
    assert velt.delete(locationId="here").data == {"n3": DELETED}


def test_the_organization_is_required_and_ids_are_strings(velt: Velt) -> None:
    assert velt.post("/v2/notifications/delete", {}).error["message"] == "organizationId is required"
    assert velt.delete(notificationIds=[1]).code == 400
    assert velt.delete(notificationIds=None).code == 400
    assert velt.ids(documentId="doc1") == ["n1"]
