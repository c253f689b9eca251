"""Add: what Velt gets, what is sealed, what the caller learns, and the roll-back after Velt's refusal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from resolver.wiring import Services
from tests.support import Api, Velt, error_of, keys_of, notification

ADD = "/v2/notifications/add"


def test_reply_has_the_id_and_the_registration(api: Api) -> None:
    assert api.add().get_json() == {
        "result": {
            "status": "success",
            "message": "Notification added successfully.",
            "data": {
                "success": True,
                "message": "Notification added successfully.",
                "notificationId": "n-1",
                "registration": "registered",
            },
        }
    }


def test_velt_is_sent_identifiers_in_resolver_mode_and_nothing_else(api: Api, velt: Velt) -> None:
    api.add()
    assert velt.sent(ADD) == [
        {
            "organizationId": "acme",
            "documentId": "doc-1",
            "notificationId": "n-1",
            "actionUser": {"userId": "ana"},
            "notifyUsers": [{"userId": "ben"}],
            "notifyAll": False,
            "isNotificationResolverUsed": True,
            "notificationSource": "custom",
        }
    ]


def test_the_recipient_finds_it_in_the_inbox_and_reads_it(api: Api, velt: Velt) -> None:
    api.add()
    (item,) = velt.inbox("ben")
    assert (item["id"], item["forYou"]) == ("n-1", True)
    content = api.read(item["id"])["n-1"]
    assert content == {
        "notificationId": "n-1",
        **{
            name: notification()[name]
            for name in (
                "actionUser",
                "displayHeadlineMessageTemplate",
                "displayHeadlineMessageTemplateData",
                "displayBodyMessage",
            )
        },
    }


def test_id_is_minted_and_returned_when_absent(api: Api, velt: Velt) -> None:
    payload = notification()
    del payload["notificationId"]
    ids = {
        api.velt("notifications/add", payload).get_json()["result"]["data"]["notificationId"]
        for _ in range(5)
    }
    assert len(ids) == 5
    assert all(len(id_) == 24 for id_ in ids)
    assert ids == {sent["notificationId"] for sent in velt.sent(ADD)}


@pytest.mark.parametrize("given", [{}, {"notifyAll": True}, {"notifyAll": False}])
def test_notify_all_is_forwarded_and_its_absence_is_warned_of(
    api: Api, velt: Velt, given: dict[str, Any]
) -> None:
    payload = notification(**given)
    if not given:
        del payload["notifyAll"]
    data = api.velt("notifications/add", payload).get_json()["result"]["data"]
    (sent,) = velt.sent(ADD)
    assert {name: sent[name] for name in sent if name == "notifyAll"} == given
    assert ("warnings" in data) is (not given)


def test_dropped_names_are_warned_of_and_not_stored_or_sent(api: Api, velt: Velt) -> None:
    data = api.add(forYou=True, __proto__={"admin": True}).get_json()["result"]["data"]
    assert len(data["warnings"]) == 2
    assert any("forYou" in warning for warning in data["warnings"])
    assert any("__proto__" in warning for warning in data["warnings"])
    assert not {"forYou", "__proto__"} & (api.read("n-1")["n-1"].keys() | velt.sent(ADD)[0].keys())


def test_unknown_keys_are_content(api: Api) -> None:
    api.add(ourOwnField={"price": 12.5})
    assert api.read("n-1")["n-1"]["ourOwnField"] == {"price": 12.5}


def test_an_add_of_an_id_that_exists_replaces_its_content(api: Api, velt: Velt) -> None:
    api.add(displayBodyMessage="first", extra=1)
    api.add(displayBodyMessage="second")
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "second"
    assert "extra" not in api.read("n-1")["n-1"]
    assert len(velt.inbox("ben")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_add_is_rolled_back_and_velts_answer_passed_on_when_velt_refuses(
    api: Api, velt: Velt, redis: Redis, status: int
) -> None:
    velt.break_with(status=status, errorStatus="FAILED_PRECONDITION", message="Velt's own words", count=1)
    reply = api.add()
    assert reply.status_code == status
    assert reply.get_json() == {"error": {"message": "Velt's own words", "status": "FAILED_PRECONDITION"}}
    assert not keys_of(redis)


def test_refused_second_add_restores_the_first(api: Api, velt: Velt) -> None:
    api.add(displayBodyMessage="first")
    velt.break_with(status=400, count=1)
    assert api.add(displayBodyMessage="second").status_code == 400
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "first"


def test_an_id_that_velt_already_has_counts_as_added(api: Api, velt: Velt) -> None:
    velt.break_with(status=409, errorStatus="ALREADY_EXISTS", count=1)
    data = api.add().get_json()["result"]["data"]
    assert (data["success"], data["registration"]) == (True, "registered")
    assert api.read("n-1")


def test_add_is_readable_when_velt_commits_and_closes_the_connection(api: Api, velt: Velt) -> None:
    velt.break_with(drop="after", count=1)
    assert api.add().get_json()["result"]["data"]["registration"] == "pending"
    assert [item["id"] for item in velt.inbox("ben")] == ["n-1"]
    assert api.read("n-1")


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"drop": "before"}, {"malformed": True}, {"retryAfter": 3}]
)
def test_add_is_pending_and_readable_when_velt_is_unreachable(
    api: Api, velt: Velt, fault: dict[str, Any]
) -> None:
    velt.break_with(**fault, count=1)
    reply = api.add()
    assert reply.status_code == 200
    assert reply.get_json()["result"]["message"] == "Notification added successfully."
    assert reply.get_json()["result"]["data"] == {
        "success": True,
        "message": "Notification added successfully.",
        "notificationId": "n-1",
        "registration": "pending",
    }
    assert api.read("n-1")


def test_deferred_adds_do_not_call_velt(make_api: Callable[..., Api], velt: Velt) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    assert api.add().get_json()["result"]["data"]["registration"] == "pending"
    assert velt.ledger() == []


def test_content_of_32_kib_is_kept_and_more_is_too_large(api: Api, velt: Velt) -> None:
    def status(size: int) -> int:
        payload = notification(isNotificationResolverUsed=True, displayBodyMessage="x" * size)
        return api.velt("notifications/add", payload).status_code

    assert status(32 * 1024 - 600) == 200
    reply = api.add(displayBodyMessage="x" * 32 * 1024)
    assert (*error_of(reply),) == (413, "INVALID_ARGUMENT")
    reply = api.add(metadata={"x": "x" * 32 * 1024})
    assert (*error_of(reply),) == (413, "INVALID_ARGUMENT")
    assert len(velt.ledger()) == 1


def test_an_audience_too_large_to_open_at_every_read_is_refused(api: Api) -> None:
    many = [{"userId": f"user-{n:020d}"} for n in range(4000)]
    assert error_of(api.add(notifyUsers=many)) == (413, "INVALID_ARGUMENT")
    assert api.add(notifyUsers=many[:1000]).status_code == 200


@pytest.mark.parametrize("people", ["full", "reference"])
def test_context_with_the_keys_of_a_person_still_restricts_readers(
    make_api: Callable[..., Api], people: str
) -> None:
    api = make_api(RESOLVER_PEOPLE=people)
    api.add(notifyAll=True, context={"access": {"team": "x"}, "userId": "u1", "name": "N"})
    assert api.read("n-1", user="zoe") == {}
    assert api.read("n-1", user="ben")


def test_with_people_as_references_no_name_is_stored(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_PEOPLE="reference")
    api.add()
    found = api.read("n-1")["n-1"]
    assert found["actionUser"] == {"userId": "ana"}
    assert found["displayHeadlineMessageTemplateData"] == {"recipientUser": {"userId": "ben"}}


def test_add_does_not_call_velt_when_redis_is_down(make_api: Callable[..., Api], velt: Velt) -> None:
    api = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    assert error_of(api.add()) == (503, "UNAVAILABLE")
    assert velt.ledger() == []


def test_add_is_pending_when_velt_takes_all_its_time(api: Api, velt: Velt) -> None:
    velt.break_with(hang=5, count=1)
    started = time.monotonic()
    assert api.add().get_json()["result"]["data"]["registration"] == "pending"
    assert time.monotonic() - started < 2
    assert api.read("n-1")


def test_content_is_stored_before_velt_gets_the_id(services: Services, api: Api, velt: Velt) -> None:
    velt.break_with(drop="before", count=1)
    api.add()
    assert services.store.read("acme", ["n-1"])
