"""/v2/notifications/config/set and /get"""

from typing import Any

import pytest

from tests.sandbox.conftest import API_KEY, Reply, Velt

SET = "/v2/notifications/config/set"
GET = "/v2/notifications/config/get"
DONE = "User config set successfully."


def put(velt: Velt, config: Any, **scope: Any) -> Reply:
    return velt.post(SET, {"organizationId": "org1", "userIds": ["u1"], "config": config, **scope})


def get(velt: Velt, **query: Any) -> Reply:
    return velt.post(GET, {"organizationId": "org1", "userId": "u1", **query})


def configs(velt: Velt, **query: Any) -> list[Any]:
    return [entry["config"] for entry in get(velt, **query).data]


def test_the_documented_document_level_example_gets_the_documented_answer(velt: Velt) -> None:
    data = {
        "organizationId": "org1",
        "documentIds": ["doc1"],
        "userIds": ["USER_ID1"],
        "config": {"inbox": "ALL", "email": "ALL"},
    }
    confirmation = {"success": True, "userId": "USER_ID1", "documentId": "doc1", "message": DONE}
    assert velt.post(SET, data).body == {
        "result": {"status": "success", "message": DONE, "data": {"USER_ID1": confirmation}}
    }


def test_the_documented_organization_level_example_names_no_document(velt: Velt) -> None:
    reply = put(velt, {"inbox": "ALL", "email": "ALL"})
    assert reply.data == {"u1": {"success": True, "userId": "u1", "message": DONE}}


def test_several_documents_collapse_into_one_confirmation_per_person(velt: Velt) -> None:
    data = put(velt, {"inbox": "ALL"}, userIds=["u1", "u2"], documentIds=["doc1", "doc2"]).data
    assert {user_id: entry["documentId"] for user_id, entry in data.items()} == {"u1": "doc2", "u2": "doc2"}


def test_a_config_comes_back_with_its_metadata(velt: Velt) -> None:
    put(velt, {"inbox": "MINE"}, documentIds=["doc1"])
    reply = get(velt, documentIds=["doc1"])
    assert reply.body == {
        "result": {
            "status": "success",
            "message": "User config fetched successfully.",
            "data": [
                {
                    "config": {"inbox": "MINE"},
                    "metadata": {
                        "organizationId": "org1",
                        "apiKey": API_KEY,
                        "documentId": "doc1",
                        "userId": "u1",
                    },
                }
            ],
        }
    }


def test_the_organization_level_is_the_default_under_the_document_level(velt: Velt) -> None:
    put(velt, {"inbox": "NONE", "email": "MINE"})
    put(velt, {"inbox": "ALL"}, documentIds=["doc1"])
    assert configs(velt, documentIds=["doc1", "doc2"]) == [
        {"inbox": "ALL", "email": "MINE"},
        {"inbox": "NONE", "email": "MINE"},
    ]


def test_the_organization_level_is_read_alone_or_along_with_documents(velt: Velt) -> None:
    put(velt, {"inbox": "NONE"})
    put(velt, {"inbox": "ALL"}, documentIds=["doc1"])
    (alone,) = get(velt, getOrganizationConfig=True).data
    assert alone["config"] == {"inbox": "NONE"}
    assert "documentId" not in alone["metadata"]
    both = configs(velt, getOrganizationConfig=True, documentIds=["doc1"])
    assert both == [{"inbox": "NONE"}, {"inbox": "ALL"}]


def test_setting_again_keeps_the_channels_it_does_not_name(velt: Velt) -> None:
    put(velt, {"inbox": "NONE", "email": "MINE"})
    put(velt, {"email": "ALL"})
    assert configs(velt, getOrganizationConfig=True) == [{"inbox": "NONE", "email": "ALL"}]


def test_custom_channels_pass_with_the_same_values(velt: Velt) -> None:
    put(velt, {"slack": "ALL", "pager": "MINE"})
    assert configs(velt, getOrganizationConfig=True) == [{"slack": "ALL", "pager": "MINE"}]


def test_what_was_never_set_has_no_entry(velt: Velt) -> None:
    put(velt, {"inbox": "ALL"}, userIds=["u2"])
    assert configs(velt, documentIds=["doc1"], getOrganizationConfig=True) == []


@pytest.mark.parametrize("channel", ["inbox", "email", "slack", "pager"])
@pytest.mark.parametrize("value", ["all", "SOME", "", None, True, ["ALL"]])
def test_a_value_outside_the_enumeration_is_refused(velt: Velt, channel: str, value: Any) -> None:
    reply = put(velt, {channel: value})
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")
    assert reply.error["message"] == f"config.{channel} must be one of ALL, MINE, NONE"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organizationId", 1),
        ("userIds", "u1"),
        ("userIds", []),
        ("userIds", [""]),
        ("config", []),
        ("config", None),
        ("documentIds", "doc1"),
        ("documentIds", []),
        ("documentIds", [3]),
    ],
)
def test_a_malformed_set_is_refused_by_name(velt: Velt, field: str, value: Any) -> None:
    data = {"organizationId": "org1", "userIds": ["u1"], "config": {}, field: value}
    reply = velt.post(SET, data)
    assert reply.code == 400
    assert reply.error["message"].startswith(field)


@pytest.mark.parametrize("field", ["organizationId", "userIds", "config"])
def test_a_set_without_a_required_field_names_it(velt: Velt, field: str) -> None:
    data = {"organizationId": "org1", "userIds": ["u1"], "config": {"inbox": "ALL"}}
    del data[field]
    assert velt.post(SET, data).error["message"] == f"{field} is required"


def test_the_organization_level_asks_for_a_user_in_the_documented_words(velt: Velt) -> None:
    reply = velt.post(GET, {"organizationId": "org1", "getOrganizationConfig": True})
    assert (reply.code, reply.error) == (
        400,
        {"message": "userId is required when getOrganizationConfig is true", "status": "INVALID_ARGUMENT"},
    )


def test_a_get_needs_a_user_and_takes_no_empty_list_of_documents(velt: Velt) -> None:
    no_user = velt.post(GET, {"organizationId": "org1", "documentIds": ["doc1"]})
    assert no_user.error["message"] == "userId is required"
    assert get(velt, documentIds=[]).code == 400


@pytest.mark.parametrize("asked", [{}, {"getOrganizationConfig": False}, {"getOrganizationConfig": True}])
def test_a_get_without_documents_answers_the_organization_level(velt: Velt, asked: dict[str, Any]) -> None:
    put(velt, {"inbox": "MINE"})
    put(velt, {"inbox": "NONE"}, documentIds=["doc1"])
    (entry,) = get(velt, **asked).data
    assert (entry["config"], "documentId" in entry["metadata"]) == ({"inbox": "MINE"}, False)


def test_thirty_documents_are_taken_and_thirty_one_are_not(velt: Velt) -> None:
    documents = [f"doc{number}" for number in range(31)]
    assert get(velt, documentIds=documents[:30]).code == 200
    assert get(velt, documentIds=documents).error["status"] == "INVALID_ARGUMENT"
