"""Update: content changes here, structure goes to Velt, and each entry is answered for itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis

from resolver.wiring import Services
from tests.notifications.conftest import Working
from tests.support import JSON, Api, Velt, error_of, keys_of, notification
from tests.waiting import until

UPDATE = "/v2/notifications/update"
DONE = {"success": True, "message": "Notification updated."}
FAILED = {"success": False, "message": "Failed to update notification."}


def result_of(api: Api, *entries: JSON, **filters: Any) -> JSON:
    reply = api.velt(
        "notifications/update", {"organizationId": "acme", "notifications": list(entries), **filters}
    )
    assert reply.status_code == 200, reply.data
    result: JSON = reply.get_json()["result"]
    assert result["status"] == "success"
    assert result["message"] == "Notification(s) updated successfully."
    return result


def update(api: Api, *entries: JSON, **filters: Any) -> JSON:
    outcomes: JSON = result_of(api, *entries, **filters)["data"]
    return outcomes


def test_content_update_changes_the_record_without_calling_velt(api: Api, velt: Velt) -> None:
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


def test_structure_is_sent_to_velt_with_filters_and_people_as_ids(api: Api, velt: Velt) -> None:
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


def test_person_who_dismissed_reads_again_when_named_again(api: Api) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "dan"}])
    api.erase("n-1", user="ben")
    update(api, {"id": "n-1", "displayBodyMessage": "news"})
    assert api.read("n-1", user="ben") == {}
    update(api, {"id": "n-1", "notifyUsers": [{"userId": "ben"}, {"userId": "dan"}]})
    assert api.read("n-1", user="ben")
    assert api.read("n-1", user="dan")


def test_context_of_an_update_restricts_readers(api: Api) -> None:
    api.add(notifyAll=True)
    assert api.read("n-1", user="zoe")
    update(api, {"id": "n-1", "context": {"access": {"team": "red"}}})
    assert api.read("n-1", user="zoe") == {}


def test_structure_of_an_id_not_held_is_sent_and_velts_answer_returned(api: Api, velt: Velt) -> None:
    assert update(api, {"id": "a-comment", "readByUserIds": ["ben"]}) == {"a-comment": FAILED}
    assert velt.sent(UPDATE)[0]["notifications"] == [{"id": "a-comment", "readByUserIds": ["ben"]}]


def test_content_of_an_id_not_held_is_refused_and_not_forwarded(api: Api, velt: Velt) -> None:
    assert update(api, {"id": "a-comment", "displayBodyMessage": "CANARY"}) == {"a-comment": FAILED}
    assert update(api, {"id": "a-comment", "metadata": {"a": "CANARY"}}) == {"a-comment": FAILED}
    assert velt.ledger(UPDATE) == []


def test_an_entry_of_both_kinds_for_an_id_not_held_sends_structure_and_fails(
    api: Api, velt: Velt, services: Services
) -> None:
    api.add()
    services.store.remove("acme", "n-1")
    entry = {"id": "n-1", "displayBodyMessage": "CANARY", "readByUserIds": ["ben"]}
    assert update(api, entry) == {"n-1": FAILED}
    assert velt.sent(UPDATE)[0]["notifications"] == [{"id": "n-1", "readByUserIds": ["ben"]}]


def test_entries_are_answered_one_by_one(api: Api) -> None:
    api.add()
    outcomes = update(
        api, {"id": "n-1", "displayBodyMessage": "x"}, {"id": "gone", "displayBodyMessage": "x"}
    )
    assert outcomes == {"n-1": DONE, "gone": FAILED}


def test_update_with_another_document_selects_nothing(api: Api, velt: Velt) -> None:
    api.add()
    entry = {"id": "n-1", "displayBodyMessage": "changed", "readByUserIds": ["ben"]}
    assert update(api, entry, documentId="doc-2") == {"n-1": FAILED}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"
    assert velt.ledger(UPDATE) == []


def test_update_with_another_organization_selects_nothing(api: Api) -> None:
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


@pytest.mark.single_server  # counts the commands of one
def test_two_entries_for_one_id_are_one_write(api: Api, redis: Redis) -> None:
    """Between two writes a person could read the first entry's text before the second entry narrows it."""
    api.add()
    redis.config_resetstat()
    update(
        api,
        {"id": "n-1", "displayBodyMessage": "CANARY for ben alone"},
        {"id": "n-1", "notifyAll": False, "notifyUsers": [{"userId": "ben"}]},
    )
    assert api.read("n-1", user="ben")["n-1"]["displayBodyMessage"] == "CANARY for ben alone"
    assert api.read("n-1", user="mallory") == {}
    records_written = redis.info("commandstats")["cmdstat_set"]["calls"]
    assert records_written == 1


def test_the_structure_of_two_entries_for_one_id_reaches_velt_in_order(
    make_api: Callable[..., Api], velt: Velt, working: Working, redis: Redis
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    entries = [{"id": "n-1", "readByUserIds": [user]} for user in ("ben", "cleo")]
    update(api, *entries)
    with working():
        until(lambda: not keys_of(redis, "{p*}q"), "nothing waits for Velt")
    (sent,) = velt.sent("/v2/notifications/update")
    assert [entry["readByUserIds"] for entry in sent["notifications"]] == [["ben"], ["cleo"]]


def test_update_changes_nothing_when_a_record_grows_too_large(api: Api) -> None:
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
def test_update_changes_nothing_that_the_filters_do_not_select(api: Api, filters: dict[str, str]) -> None:
    api.add(location={"id": "here"})
    assert update(api, {"id": "n-1", "displayBodyMessage": "changed"}, **filters) == {"n-1": FAILED}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_context_of_an_update_never_widens_readers(api: Api) -> None:
    api.add(notifyAll=True, context={"access": {"team": "red"}})
    entry = {"id": "n-1", "context": {"access": {"prototype": "x"}}}
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert api.read("n-1", user="zoe") == {}


def test_update_succeeds_for_held_notifications_when_velt_is_down(api: Api, velt: Velt) -> None:
    api.add()
    entries = [{"id": "n-1", "readByUserIds": ["ben"]}]
    velt.break_with(status=500, count=1)
    assert update(api, *entries) == {"n-1": DONE}
    velt.mend()


def test_update_of_an_id_not_held_is_unavailable_when_velt_is_down(api: Api, velt: Velt) -> None:
    entries = [{"id": "a-comment", "readByUserIds": ["ben"]}]
    velt.break_with(status=500, count=1)
    reply = api.velt("notifications/update", {"organizationId": "acme", "notifications": entries})
    assert error_of(reply) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("name", ["isRead", "read", "isArchived", "isread", "is_read"])
def test_key_that_velts_update_ignores_is_no_success_and_no_content(api: Api, velt: Velt, name: str) -> None:
    api.add()
    result = result_of(api, {"id": "n-1", name: True})
    assert result["data"] == {"n-1": FAILED}
    (warning,) = result["warnings"]
    assert warning.startswith(f'{name} of "n-1" was ignored')
    assert ("use readByUserIds" in warning) == ("read" in name.lower())
    assert name not in api.read("n-1")["n-1"]
    assert velt.ledger(UPDATE) == []


def test_key_that_velts_update_ignores_is_warned_of_beside_others(api: Api) -> None:
    api.add()
    result = result_of(api, {"id": "n-1", "isRead": True, "displayBodyMessage": "changed"})
    assert result["data"] == {"n-1": DONE}
    assert len(result["warnings"]) == 1
    found = api.read("n-1")["n-1"]
    assert (found["displayBodyMessage"], "isRead" in found) == ("changed", False)


def test_warnings_name_at_most_three_ids_of_many(api: Api) -> None:
    entries = [{"id": f"n-{n}", "read": True} for n in range(9)]
    (warning,) = result_of(api, *entries)["warnings"]
    assert warning.startswith('read of "n-0", "n-1", "n-2" and 6 more was ignored')


def test_dropped_reserved_names_are_named_and_alone_no_success(api: Api) -> None:
    api.add()
    api.add(notificationId="n-2")
    entries = [{"id": "n-1", "forYou": True, "fresh": 1}, {"id": "n-2", "timestamp": 1}]
    result = result_of(api, *entries)
    assert result["data"] == {"n-1": DONE, "n-2": FAILED}
    assert result["warnings"] == [
        'forYou of "n-1" was dropped: the name is reserved',
        'timestamp of "n-2" was dropped: the name is reserved',
    ]


def test_notify_all_restricts_readers_in_the_same_write_as_the_text(api: Api, velt: Velt) -> None:
    api.add(notifyAll=True)
    assert api.read("n-1", user="zoe")
    result = result_of(api, {"id": "n-1", "displayBodyMessage": "for ben", "notifyAll": False})
    assert result["data"] == {"n-1": DONE}
    assert result["warnings"] == [
        'notifyAll of "n-1" was applied here and not sent: Velt\'s own row keeps its audience'
    ]
    assert api.read("n-1", user="zoe") == {}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "for ben"
    assert velt.ledger(UPDATE) == []


def test_notify_all_and_a_new_audience_restrict_readers_together(api: Api, velt: Velt) -> None:
    api.add(notifyAll=True)
    entry = {
        "id": "n-1",
        "displayBodyMessage": "for dan",
        "notifyAll": False,
        "notifyUsers": [{"userId": "dan"}],
    }
    assert update(api, entry) == {"n-1": DONE}
    assert {user: bool(api.read("n-1", user=user)) for user in ("ben", "dan", "zoe")} == {
        "ben": False,
        "dan": True,
        "zoe": False,
    }
    assert velt.sent(UPDATE)[0]["notifications"] == [{"id": "n-1", "notifyUsers": [{"userId": "dan"}]}]


def test_notify_all_may_widen_readers_again(api: Api) -> None:
    api.add()
    update(api, {"id": "n-1", "notifyAll": True})
    assert api.read("n-1", user="zoe")


@pytest.mark.parametrize("entry", [{"notifyAll": False}, {"notifyAll": False, "notifyUsers": []}])
def test_update_without_any_recipient_is_refused_and_changes_nothing(api: Api, entry: JSON) -> None:
    api.add(notifyAll=True, notifyUsers=[])
    data = {
        "organizationId": "acme",
        "notifications": [{"id": "n-1", "displayBodyMessage": "changed", **entry}],
    }
    reply = api.velt("notifications/update", data)
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert "notifyUsers is required when notifyAll is false" in reply.get_json()["error"]["message"]
    assert api.read("n-1", user="zoe")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_notify_all_of_an_id_not_held_is_no_success(api: Api, velt: Velt) -> None:
    assert update(api, {"id": "a-comment", "notifyAll": False}) == {"a-comment": FAILED}
    assert velt.ledger(UPDATE) == []


VERIFIED = {"verifyUserPermissions": True, "documentId": "doc-1"}


@pytest.mark.parametrize(
    "entry",
    [
        {"displayBodyMessage": "changed"},
        {"notifyUsers": [{"userId": "ben"}]},
        {"notifyAll": False},
        {"context": {"access": {"team": "red"}}},
        {"metadata": {"a": 1}},
    ],
)
@pytest.mark.parametrize("policy", ["recipient", "organization"])
def test_verified_update_is_refused_without_the_document_policy(
    make_api: Callable[..., Api], velt: Velt, policy: str, entry: JSON
) -> None:
    """Otherwise people without permission for the document would read the new text."""
    api = make_api(RESOLVER_READ_POLICY=policy)
    api.add(notifyAll=True)
    data = {
        "organizationId": "acme",
        **VERIFIED,
        "notifications": [{"id": "n-0", "readByUserIds": ["ben"]}, {"id": "n-1", **entry}],
    }
    reply = api.velt("notifications/update", data)
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    message = reply.get_json()["error"]["message"]
    assert "RESOLVER_READ_POLICY=document" in message
    assert policy in message
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"
    assert velt.ledger(UPDATE) == []


def test_verified_update_of_read_states_is_forwarded_under_any_policy(api: Api, velt: Velt) -> None:
    api.add()
    assert update(api, {"id": "n-1", "readByUserIds": ["ben"]}, **VERIFIED) == {"n-1": DONE}
    assert velt.sent(UPDATE)[0]["verifyUserPermissions"] is True


def test_verified_update_marks_the_record_under_the_document_policy(
    make_api: Callable[..., Api], velt: Velt, services: Services
) -> None:
    api = make_api(RESOLVER_READ_POLICY="document", RESOLVER_TOKEN_DOCUMENTS_CLAIM="docs")
    api.add(notifyAll=True)
    entry = {"id": "n-1", "displayBodyMessage": "changed", "readByUserIds": ["ben"]}
    assert update(api, entry, **VERIFIED) == {"n-1": DONE}
    record = services.store.read("acme", ["n-1"])["n-1"]
    assert (record.verified, record.parsed_content()["displayBodyMessage"]) == (True, "changed")
    assert velt.sent(UPDATE)[0]["verifyUserPermissions"] is True


def test_unverified_update_leaves_a_verified_record_verified(api: Api, services: Services) -> None:
    api.add(verifyUserPermissions=True)
    update(api, {"id": "n-1", "displayBodyMessage": "changed"}, verifyUserPermissions=False)
    assert services.store.read("acme", ["n-1"])["n-1"].verified


def test_update_is_possible_however_many_people_dismissed(api: Api, services: Services) -> None:
    api.add(notifyAll=True)
    dismissed_by = tuple(f"{n:03}{'x' * 130}" for n in range(490))
    services.store.change("acme", "n-1", lambda record: (replace(record, dismissed_by=dismissed_by), None))
    content = {f"key-{n}": "x" * 10_000 for n in range(3)}
    assert update(api, {"id": "n-1", **content}) == {"n-1": DONE}
    people = [{"userId": f"{n:03}{'y' * 100}"} for n in range(500)]
    assert update(api, {"id": "n-1", "notifyUsers": people}) == {"n-1": DONE}
