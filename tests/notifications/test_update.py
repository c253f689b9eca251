"""Update: content changes here, structure goes to Velt, and each entry is answered for itself."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.services import Services
from tests.support import JSON, Api, Velt, error_of, notification

UPDATE = "/v2/notifications/update"
DONE = {"success": True, "message": "Notification updated."}
FAILED = {"success": False, "message": "Failed to update notification."}


def update(api: Api, *entries: JSON, **filters: Any) -> JSON:
    reply = api.velt(
        "notifications/update", {"organizationId": "acme", "notifications": list(entries), **filters}
    )
    assert reply.status_code == 200, reply.data
    result: JSON = reply.get_json()["result"]
    assert result["status"] == "success"
    assert result["message"] == "Notification(s) updated successfully."
    outcomes: JSON = result["data"]
    return outcomes


def test_a_content_update_changes_what_is_read_and_calls_nobody(api: Api, velt: Velt) -> None:
    api.add()
    assert update(api, {"id": "n-1", "displayBodyMessage": "changed", "fresh": 1}) == {"n-1": DONE}
    found = api.read("n-1")["n-1"]
    assert (found["displayBodyMessage"], found["fresh"]) == ("changed", 1)
    assert found["displayHeadlineMessageTemplate"] == notification()["displayHeadlineMessageTemplate"]
    assert velt.ledger(UPDATE) == []


def test_an_explicit_null_clears_a_key(api: Api) -> None:
    api.add(ours=1)
    update(api, {"id": "n-1", "displayBodyMessage": None, "ours": None})
    assert not {"displayBodyMessage", "ours"} & api.read("n-1")["n-1"].keys()


def test_structure_goes_to_velt_with_its_filters_and_people_reduced(api: Api, velt: Velt) -> None:
    api.add()
    entry = {
        "id": "n-1",
        "readByUserIds": ["ben"],
        "persistReadForUsers": True,
        "actionUser": {"userId": "cleo", "name": "CANARY Cleo"},
        "notifyUsers": [{"userId": "dan", "email": "CANARY@example.com"}],
        "displayBodyMessage": "CANARY",
    }
    update(api, entry, documentId="doc-1", userId="ben", verifyUserPermissions=False)
    assert velt.sent(UPDATE) == [
        {
            "organizationId": "acme",
            "documentId": "doc-1",
            "userId": "ben",
            "verifyUserPermissions": False,
            "notifications": [
                {
                    "id": "n-1",
                    "readByUserIds": ["ben"],
                    "persistReadForUsers": True,
                    "actionUser": {"userId": "cleo"},
                    "notifyUsers": [{"userId": "dan"}],
                }
            ],
        }
    ]


def test_a_new_audience_and_actor_decide_who_reads_from_then_on(api: Api) -> None:
    api.add()
    update(
        api,
        {"id": "n-1", "notifyUsers": [{"userId": "dan"}], "actionUser": {"userId": "cleo", "name": "Cleo"}},
    )
    assert api.read("n-1", user="ben") == {}
    assert api.read("n-1", user="ana") == {}
    assert api.read("n-1", user="dan")
    assert api.read("n-1", user="cleo")["n-1"]["actionUser"] == {"userId": "cleo", "name": "Cleo"}


def test_who_left_and_is_named_again_sees_it_again(api: Api) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "dan"}])
    api.erase("n-1", user="ben")
    update(api, {"id": "n-1", "displayBodyMessage": "news"})
    assert api.read("n-1", user="ben") == {}
    update(api, {"id": "n-1", "notifyUsers": [{"userId": "ben"}, {"userId": "dan"}]})
    assert api.read("n-1", user="ben")
    assert api.read("n-1", user="dan")


def test_a_context_given_later_narrows(api: Api) -> None:
    api.add(notifyAll=True)
    assert api.read("n-1", user="zoe")
    update(api, {"id": "n-1", "context": {"access": {"team": "red"}}})
    assert api.read("n-1", user="zoe") == {}


def test_for_an_id_not_held_structure_goes_and_velts_answer_comes_back(api: Api, velt: Velt) -> None:
    assert update(api, {"id": "a-comment", "readByUserIds": ["ben"]}) == {"a-comment": FAILED}
    assert velt.sent(UPDATE)[0]["notifications"] == [{"id": "a-comment", "readByUserIds": ["ben"]}]


def test_for_an_id_not_held_content_is_refused_and_never_forwarded(api: Api, velt: Velt) -> None:
    assert update(api, {"id": "a-comment", "displayBodyMessage": "CANARY"}) == {"a-comment": FAILED}
    assert update(api, {"id": "a-comment", "metadata": {"a": "CANARY"}}) == {"a-comment": FAILED}
    assert velt.ledger(UPDATE) == []


def test_an_entry_of_both_kinds_for_an_id_not_held_sends_structure_and_fails(
    api: Api, velt: Velt, services: Services
) -> None:
    api.add()
    services.vault.remove("acme", "n-1")
    entry = {"id": "n-1", "displayBodyMessage": "CANARY", "readByUserIds": ["ben"]}
    assert update(api, entry) == {"n-1": FAILED}
    assert velt.sent(UPDATE)[0]["notifications"] == [{"id": "n-1", "readByUserIds": ["ben"]}]


def test_entries_are_answered_one_by_one(api: Api) -> None:
    api.add()
    outcomes = update(
        api, {"id": "n-1", "displayBodyMessage": "x"}, {"id": "gone", "displayBodyMessage": "x"}
    )
    assert outcomes == {"n-1": DONE, "gone": FAILED}


def test_another_document_is_not_this_one(api: Api, velt: Velt) -> None:
    api.add()
    entry = {"id": "n-1", "displayBodyMessage": "changed", "readByUserIds": ["ben"]}
    assert update(api, entry, documentId="doc-2") == {"n-1": FAILED}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"
    assert velt.ledger(UPDATE) == []


def test_another_organization_is_not_this_one(api: Api) -> None:
    api.add()
    assert update(api, {"id": "n-1", "displayBodyMessage": "changed"}, organizationId="zeta") == {
        "n-1": FAILED
    }
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_two_entries_for_one_id_apply_in_order(api: Api) -> None:
    api.add()
    update(api, {"id": "n-1", "displayBodyMessage": "1", "a": 1}, {"id": "n-1", "displayBodyMessage": "2"})
    found = api.read("n-1")["n-1"]
    assert (found["displayBodyMessage"], found["a"]) == ("2", 1)


def test_what_grows_too_large_changes_nothing_at_all(api: Api) -> None:
    api.add()
    api.add(notificationId="n-2")
    entries = [
        {"id": "n-1", "displayBodyMessage": "small"},
        {"id": "n-2", "displayBodyMessage": "x" * 33_000},
    ]
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": entries})
    assert error_of(reply) == (413, "INVALID_ARGUMENT")
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_two_entries_that_grow_too_large_together_change_nothing(api: Api) -> None:
    api.add()
    entries = [{"id": "n-1", name: "x" * 20_000} for name in ("a", "b")]
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": entries})
    assert error_of(reply) == (413, "INVALID_ARGUMENT")
    assert not {"a", "b"} & api.read("n-1")["n-1"].keys()


@pytest.mark.parametrize("filters", [{"userId": "nobody"}, {"locationId": "elsewhere"}])
def test_what_the_filters_do_not_mean_is_left_alone(api: Api, filters: dict[str, str]) -> None:
    api.add(location={"id": "here"})
    assert update(api, {"id": "n-1", "displayBodyMessage": "changed"}, **filters) == {"n-1": FAILED}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_a_context_never_opens_what_was_closed(api: Api) -> None:
    api.add(notifyAll=True, context={"access": {"team": "red"}})
    entry = {"id": "n-1", "context": {"access": {"prototype": "x"}}}
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert api.read("n-1", user="zoe") == {}


def test_an_outage_of_velt_is_not_a_missing_notification(api: Api, velt: Velt) -> None:
    api.add()
    entries = [{"id": "n-1", "readByUserIds": ["ben"]}]
    velt.break_with(status=500, count=1)
    assert update(api, *entries) == {"n-1": DONE}
    velt.mend()


def test_an_outage_of_velt_is_passed_on_for_what_only_velt_knows(api: Api, velt: Velt) -> None:
    entries = [{"id": "a-comment", "readByUserIds": ["ben"]}]
    velt.break_with(status=500, count=1)
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": entries})
    assert error_of(reply) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("name", ["isRead", "isArchived"])
def test_what_velts_backend_ignores_is_ignored_here(api: Api, name: str) -> None:
    api.add()
    assert update(api, {"id": "n-1", name: True}) == {"n-1": DONE}
    assert name not in api.read("n-1")["n-1"]
