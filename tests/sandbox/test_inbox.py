"""A person's feed: audience, permissions, context and read state together."""

from typing import Any

import pytest

from tests.sandbox.conftest import Control, Velt


def test_an_item_is_structure_as_velt_holds_it_with_what_the_browser_computes(
    velt: Velt, control: Control
) -> None:
    velt.add("n1", notificationSource="custom")
    (item,) = control.inbox("u1")
    assert (item["id"], item["notificationSource"]) == ("n1", "custom")
    assert (item["isNotificationResolverUsed"], item["isUnread"], item["forYou"]) == (True, True, True)


def test_the_newest_comes_first(velt: Velt, control: Control) -> None:
    for notification_id in ("n1", "n2", "n3"):
        velt.add(notification_id)
    assert control.inbox_ids("u1") == ["n3", "n2", "n1"]


def test_without_notify_all_only_the_named_people_have_it_for_them(velt: Velt, control: Control) -> None:
    velt.add("n1", notifyUsers=[{"userId": "u1"}])
    assert control.for_you("u1") == ["n1"]
    assert control.for_you("u2") == []


@pytest.mark.parametrize("notify_all", [{"notifyAll": True}, {}])
def test_notify_all_is_the_default_and_means_the_whole_organization(
    velt: Velt, control: Control, notify_all: dict[str, bool]
) -> None:
    control.declare(members=["u1", "u2"])
    data = {"organizationId": "org1", "documentId": "doc1", "actionUser": {"userId": "actor"}}
    velt.post("/v2/notifications/add", {**data, "isNotificationResolverUsed": True, **notify_all})
    assert len(control.for_you("u1")) == len(control.for_you("u2")) == 1
    assert control.inbox("stranger") == []


def test_others_see_it_in_documents_they_can_open_but_not_for_them(velt: Velt, control: Control) -> None:
    control.declare(documents={"doc1": {"members": ["u1", "colleague"]}})
    velt.add("n1")
    (item,) = control.inbox("colleague")
    assert (item["forYou"], item["isUnread"]) == (False, True)
    assert control.inbox("stranger") == []


def test_addressed_person_has_it_without_document_access_unless_permissions_are_verified(
    velt: Velt, control: Control
) -> None:
    control.declare(documents={"doc1": {"members": ["u2"]}})
    both = [{"userId": "u1"}, {"userId": "u2"}]
    velt.add("trusting", notifyUsers=both)
    velt.add("verified", notifyUsers=both, verifyUserPermissions=True)
    assert control.for_you("u1") == ["trusting"]
    assert control.for_you("u2") == ["verified", "trusting"]
    assert control.inbox_ids("u1") == ["trusting"]


def test_permissions_are_verified_as_it_is_added_and_not_later(velt: Velt, control: Control) -> None:
    control.declare(documents={"doc1": {"members": []}})
    velt.add("n1", verifyUserPermissions=True)
    control.declare(documents={"doc1": {"members": ["u1"]}})
    assert control.for_you("u1") == []


def test_verified_permissions_fall_back_to_the_organizations_members(velt: Velt, control: Control) -> None:
    control.declare(members=["u1"])
    velt.add("n1", notifyUsers=[{"userId": "u1"}, {"userId": "u2"}], verifyUserPermissions=True)
    assert control.for_you("u1") == ["n1"]
    assert control.for_you("u2") == []


@pytest.mark.parametrize(
    ("permissions", "seen"),
    [
        ({"entityId": "visitors", "level": 2}, True),
        ({"entityId": ["sales", "visitors"], "level": [1, 2]}, True),
        ({"entityId": "visitors"}, False),
        ({"entityId": "sales", "level": 2}, False),
        ({"entityId": "visitors", "level": "2"}, False),
        ({}, False),
    ],
)
def test_every_context_field_has_to_match_the_readers_permissions(
    velt: Velt, control: Control, permissions: dict[str, Any], seen: bool
) -> None:
    control.declare(users={"u1": {"context": permissions}})
    velt.add("n1", context={"access": {"entityId": "visitors", "level": 2}})
    assert (control.inbox_ids("u1") == ["n1"]) is seen


def test_without_declared_permissions_a_context_matches_nobody(velt: Velt, control: Control) -> None:
    velt.add("n1", context={"access": {"entityId": "visitors"}})
    assert control.inbox("u1") == []
    assert velt.ids(userId="u1") == []


def test_feeds_of_different_organizations_do_not_mix(velt: Velt, control: Control) -> None:
    velt.add("n1")
    assert control.inbox("u1", organization_id="org2") == []


@pytest.mark.parametrize("query", ["", "?organizationId=org1", "?userId=u1", "?organizationId=&userId=u1"])
def test_both_arguments_are_required(control: Control, query: str) -> None:
    assert control.get(f"inbox{query}").error["status"] == "INVALID_ARGUMENT"
