"""/_sandbox/reset, /access and /notifications, and manners common to all control paths."""

from typing import Any

import pytest

from tests.sandbox.conftest import Control, Velt


def test_a_reset_empties_everything(velt: Velt, control: Control) -> None:
    velt.add()
    velt.post("/v2/workspace/notificationconfig/update", {"useNotificationService": True})
    preference = {"organizationId": "org1", "userIds": ["u1"], "config": {"inbox": "ALL"}}
    velt.post("/v2/notifications/config/set", preference)
    control.post("access", {"strict": True, "organizations": {"org2": {}}})
    control.post("faults", {"status": 500})
    assert control.post("reset").body == {"success": True}
    assert control.ledger() == []
    assert control.stored() == {}
    assert control.get("faults").body == {"faults": []}
    assert control.get("access").body == {"strict": False, "organizations": {}}
    workspace = velt.post("/v2/workspace/notificationconfig/get", {}).data
    assert workspace == {"useNotificationService": False, "notificationServiceConfig": {}}
    query = {"organizationId": "org1", "userId": "u1", "getOrganizationConfig": True}
    assert velt.post("/v2/notifications/config/get", query).data == []


def test_what_is_declared_stays_until_it_is_declared_otherwise(control: Control) -> None:
    control.declare(members=["u2", "u1"], documents={"doc1": {"members": ["u1"]}})
    control.declare(documents={"doc2": {}}, users={"u1": {"context": {"a": [1, "b"]}}})
    assert control.post("access", {"organizations": {"org1": {"members": None}}}).body == {
        "strict": False,
        "organizations": {
            "org1": {
                "members": None,
                "documents": {"doc1": {"members": ["u1"]}, "doc2": {"members": None}},
                "users": {"u1": {"context": {"a": [1, "b"]}}},
            }
        },
    }


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"strict": "yes"},
        {"organisations": {}},
        {"organizations": []},
        {"organizations": {"org1": {"members": "u1"}}},
        {"organizations": {"org1": {"members": [1]}}},
        {"organizations": {"org1": {"documents": ["doc1"]}}},
        {"organizations": {"org1": {"documents": {"doc1": {"users": ["u1"]}}}}},
        {"organizations": {"org1": {"users": {"u1": {}}}}},
        {"organizations": {"org1": {}, "org2": {"typo": 1}}},
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_whole(control: Control, body: Any) -> None:
    assert control.post("access", body).error["status"] == "INVALID_ARGUMENT"
    assert control.get("access").body == {"strict": False, "organizations": {}}


def test_every_stored_record_is_shown_raw(velt: Velt, control: Control) -> None:
    velt.add("n1", organizationId="org2", createDocument=True)
    record = control.stored()["n1"]
    assert record.pop("timestamp") > 0
    assert record.pop("data")["createDocument"] is True
    assert record == {
        "id": "n1",
        "organizationId": "org2",
        "documentId": "doc1",
        "notificationSource": "custom",
        "readByUserIds": [],
        "persistReadForUserIds": [],
    }


@pytest.mark.parametrize("name", ["access", "faults"])
def test_a_body_that_is_not_json_is_an_invalid_argument(control: Control, name: str) -> None:
    assert control.send("POST", f"/_sandbox/{name}", b"{").error["status"] == "INVALID_ARGUMENT"


def test_unknown_control_paths_and_methods_are_refused_in_velts_shape(control: Control) -> None:
    assert control.get("nothing").error["status"] == "NOT_FOUND"
    reply = control.get("reset")
    assert (reply.code, reply.error["status"]) == (405, "INVALID_ARGUMENT")
    assert "POST" in reply.headers["Allow"]
