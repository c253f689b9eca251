"""/v2/notifications/add"""

from typing import Any

import pytest

from tests.sandbox.conftest import Control, Velt, notification

ADD = "/v2/notifications/add"

PLAIN_EXAMPLE = {
    "organizationId": "yourOrganizationId",
    "documentId": "yourDocumentId",
    "actionUser": {"userId": "yourUserId", "name": "User Name", "email": "user@example.com"},
    "displayHeadlineMessageTemplate": "{actionUser}, {recipientUser}, {yourCustomVariableWithStringValue}",
    "displayHeadlineMessageTemplateData": {
        "actionUser": {"userId": "yourUserId", "name": "User Name", "email": "user@example.com"},
        "recipientUser": {"userId": "recipientUserId", "name": "Recipient Name"},
        "yourCustomField": "Variable will be replaced with this text",
    },
    "displayBodyMessage": "This is body message (Secondary message)",
    "notifyUsers": [
        {"email": "test@example.com", "userId": "testingUserId"},
        {"userId": "yourUserId", "name": "User Name", "email": "user@example.com"},
    ],
}
PERMISSION_EXAMPLE = {
    "organizationId": "org1",
    "documentId": "document3",
    "actionUser": {"userId": "1.1"},
    "verifyUserPermissions": True,
    "displayHeadlineMessageTemplate": "{actionUser}, {recipientUser}",
    "displayHeadlineMessageTemplateData": {
        "actionUser": {"userId": "1.1"},
        "recipientUser": {"userId": "2.2"},
    },
    "displayBodyMessage": "This is body message (Secondary message)",
    "notifyUsers": [{"userId": "2.2"}],
    "notifyAll": False,
}
CONTEXT_EXAMPLE = {
    "organizationId": "org1",
    "documentId": "document3",
    "actionUser": {"userId": "1.1", "name": "User One", "email": "user1@example.com"},
    "context": {"access": {"entityId": "numberOfVisitors", "dashboardId": "myDashboard"}},
    "displayHeadlineMessageTemplate": "New comment on {entityName}",
    "displayHeadlineMessageTemplateData": {"entityName": "Visitor Analytics"},
    "displayBodyMessage": "A new comment has been added to the visitor analytics dashboard",
    "notifyUsers": [{"userId": "2.2"}],
    "notifyAll": False,
}
RESOLVER_EXAMPLE = {
    "organizationId": "yourOrganizationId",
    "documentId": "yourDocumentId",
    "actionUser": {"userId": "yourUserId", "name": "User Name", "email": "user@example.com"},
    "notificationId": "custom-notif-001",
    "isNotificationResolverUsed": True,
    "notificationSource": "custom",
    "notifyUsers": [{"userId": "recipientUserId", "email": "recipient@example.com"}],
    "notifyAll": False,
}
EXAMPLES = [PLAIN_EXAMPLE, PERMISSION_EXAMPLE, CONTEXT_EXAMPLE, RESOLVER_EXAMPLE]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_documented_example_is_accepted_with_the_documented_answer(
    velt: Velt, example: dict[str, Any]
) -> None:
    reply = velt.post(ADD, example)
    assert reply.code == 200
    assert reply.body == {
        "result": {
            "status": "success",
            "message": "Notification added successfully.",
            "data": {"success": True, "message": "Notification added successfully."},
        }
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_was_sent_is_held_verbatim(velt: Velt, control: Control, example: dict[str, Any]) -> None:
    velt.post(ADD, example)
    (record,) = control.stored().values()
    assert record["data"] == example


def test_unknown_keys_are_held_too_since_velt_is_not_known_to_strip_them(
    velt: Velt, control: Control
) -> None:
    velt.add(somethingOfOurs={"deep": [1, None]})
    assert control.stored()["n1"]["data"]["somethingOfOurs"] == {"deep": [1, None]}


@pytest.mark.parametrize("field", ["organizationId", "documentId", "actionUser"])
def test_a_missing_required_field_is_named(velt: Velt, field: str) -> None:
    data = notification()
    del data[field]
    reply = velt.post(ADD, data)
    assert (reply.code, reply.error) == (
        400,
        {"message": f"{field} is required", "status": "INVALID_ARGUMENT"},
    )


@pytest.mark.parametrize("field", ["displayHeadlineMessageTemplate", "displayBodyMessage"])
@pytest.mark.parametrize("resolver_used", [False, None])
def test_content_is_required_unless_the_resolver_flag_is_true(
    velt: Velt, field: str, resolver_used: bool | None
) -> None:
    data: dict[str, Any] = {name: value for name, value in PLAIN_EXAMPLE.items() if name != field}
    if resolver_used is not None:
        data["isNotificationResolverUsed"] = resolver_used
    assert velt.post(ADD, data).error["message"] == f"{field} is required"
    assert velt.post(ADD, {**data, "isNotificationResolverUsed": True}).code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organizationId", 7),
        ("organizationId", ""),
        ("documentId", None),
        ("actionUser", "u1"),
        ("actionUser", {}),
        ("actionUser", {"userId": 1}),
        ("notifyUsers", {"userId": "u1"}),
        ("notifyUsers", [{"email": "a@example.com"}]),
        ("notifyAll", "true"),
        ("verifyUserPermissions", 1),
        ("isNotificationResolverUsed", "true"),
        ("createOrganization", None),
        ("createDocument", "yes"),
        ("notificationSource", 1),
        ("notificationSourceData", "x"),
        ("displayHeadlineMessageTemplate", 1),
        ("displayHeadlineMessageTemplateData", []),
        ("displayBodyMessage", {}),
        ("metadata", "x"),
        ("location", 3),
        ("context", {}),
        ("context", {"access": ["a"]}),
        ("context", {"access": {"a": True}}),
        ("context", {"access": {"a": None}}),
        ("context", {"access": {f"key{number}": "x" for number in range(201)}}),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_nothing_is_held(
    velt: Velt, control: Control, field: str, value: Any
) -> None:
    reply = velt.add(**{field: value})
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")
    assert reply.error["message"].startswith(field)
    assert control.stored() == {}


@pytest.mark.parametrize("notification_id", ["a", "A-b_9", "0" * 300])
def test_an_id_of_letters_digits_underscore_and_hyphen_is_taken(velt: Velt, notification_id: str) -> None:
    assert velt.add(notification_id).code == 200
    assert velt.ids(documentId="doc1") == [notification_id]


@pytest.mark.parametrize("notification_id", ["", "a b", "a.b", "a/b", "ä", "a\n"])
def test_an_id_with_any_other_character_is_refused(velt: Velt, notification_id: str) -> None:
    assert velt.add(notification_id).error["status"] == "INVALID_ARGUMENT"


def test_an_id_is_made_up_when_none_is_given_and_the_answer_does_not_tell_it(
    velt: Velt, control: Control
) -> None:
    reply = velt.post(ADD, notification())
    (minted,) = control.stored()
    assert minted.isdecimal()
    assert minted not in str(reply.body)


def test_the_source_is_custom_unless_given(velt: Velt, control: Control) -> None:
    velt.add("silent")
    velt.add("spoken", notificationSource="huddle")
    sources = {name: record["notificationSource"] for name, record in control.stored().items()}
    assert sources == {"silent": "custom", "spoken": "huddle"}


def test_adding_an_id_again_replaces_it_whole_so_that_one_stays_visible(velt: Velt, control: Control) -> None:
    velt.add("n1", metadata={"old": 1})
    velt.add("n2")
    velt.update(notifications=[{"id": "n1", "readByUserIds": ["u1"]}])
    velt.add("n1", documentId="doc2")
    assert control.inbox_ids("u1") == ["n1", "n2"]
    assert "metadata" not in control.stored()["n1"]["data"]
    assert control.inbox("u1")[0]["isUnread"] is True
    assert velt.ids(documentId="doc1") == ["n2"]


def test_the_same_id_in_another_organization_is_another_notification(velt: Velt) -> None:
    velt.add("n1")
    velt.add("n1", organizationId="org2")
    velt.delete(notificationIds=["n1"])
    assert len(velt.get(organizationId="org2", documentId="doc1").data) == 1


def test_recipients_may_be_left_out_only_when_everyone_is_notified(velt: Velt) -> None:
    data = notification()
    del data["notifyUsers"], data["notifyAll"]
    assert velt.post(ADD, data).code == 200
    assert velt.post(ADD, {**data, "notifyAll": False}).error["message"] == "notifyUsers is required"


def test_unknown_organizations_and_documents_come_into_being_by_default(velt: Velt, control: Control) -> None:
    velt.add()
    assert "doc1" in control.get("access").body["organizations"]["org1"]["documents"]


class TestStrict:
    @pytest.fixture(autouse=True)
    def strict(self, control: Control) -> None:
        control.post("access", {"strict": True})

    def test_an_unknown_organization_is_not_found(self, velt: Velt) -> None:
        reply = velt.add(createDocument=True)
        assert (reply.code, reply.error["status"]) == (404, "NOT_FOUND")

    def test_an_unknown_document_is_not_found_and_no_organization_is_left_behind(
        self, velt: Velt, control: Control
    ) -> None:
        assert velt.add(createOrganization=True).code == 404
        assert control.get("access").body["organizations"] == {}

    def test_both_are_created_on_request(self, velt: Velt) -> None:
        assert velt.add(createOrganization=True, createDocument=True).code == 200
        assert velt.add().code == 200

    def test_creating_what_exists_leaves_it_as_it_is(self, velt: Velt, control: Control) -> None:
        control.declare(members=["u1"], documents={"doc1": {"members": ["u1"]}})
        assert velt.add(createOrganization=True, createDocument=True).code == 200
        declared = control.get("access").body["organizations"]["org1"]
        assert declared == {"members": ["u1"], "documents": {"doc1": {"members": ["u1"]}}, "users": {}}
