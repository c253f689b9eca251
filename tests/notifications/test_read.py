"""Reads: which notifications each person gets under each policy, and which a trusted backend gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import Api

PATH = "/api/velt/notifications/"


@pytest.mark.parametrize(("user", "reads"), [("ana", True), ("ben", True), ("zoe", False)])
def test_by_default_actor_and_recipients_read(api: Api, user: str, reads: bool) -> None:
    api.add()
    assert bool(api.read("n-1", user=user)) is reads


def test_all_members_read_a_record_for_everyone(api: Api) -> None:
    api.add(notifyAll=True)
    assert api.read("n-1", user="zoe")
    assert api.read("n-1", user="zoe", organization="zeta") == {}


def test_organization_policy_permits_all_members(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_READ_POLICY="organization")
    api.add()
    assert api.read("n-1", user="zoe")
    assert api.read("n-1", user="zoe", organization="zeta") == {}


def test_deletion_by_one_of_two_recipients_keeps_it_for_the_other(api: Api) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "dan"}])
    api.erase("n-1", user="ben")
    assert api.read("n-1", user="ben") == {}
    assert api.read("n-1", user="dan")
    api.erase("n-1", user="dan")
    assert api.read("n-1", user="ana") == {}


def test_deletion_by_the_actor_removes_it_for_all(api: Api) -> None:
    api.add(notifyAll=True)
    api.erase("n-1", user="ana")
    assert api.read("n-1", user="ben") == {}


def test_deletion_by_a_stranger_changes_nothing_and_has_the_same_reply(api: Api) -> None:
    api.add()
    stranger, absent = api.erase("n-1", user="zoe"), api.erase("no-such-id", user="zoe")
    assert (stranger.status_code, stranger.data) == (absent.status_code, absent.data)
    assert api.read("n-1")


def test_dismissing_a_record_for_everyone_hides_it_only_from_that_person(api: Api) -> None:
    api.add(notifyAll=True)
    api.erase("n-1", user="zoe")
    assert api.read("n-1", user="zoe") == {}
    assert api.read("n-1", user="yan")


def test_under_the_actor_policy_recipients_change_nothing(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_DELETE_POLICY="actor")
    api.add()
    assert api.erase("n-1", user="ben").status_code == 200
    assert api.read("n-1")


@pytest.mark.parametrize("id_", ["n-1", "no-such-id"])
def test_backend_policy_refuses_deletions_of_end_users(make_api: Callable[..., Api], id_: str) -> None:
    api = make_api(RESOLVER_DELETE_POLICY="backend")
    api.add()
    reply = api.erase(id_, user="ana")
    assert (reply.status_code, reply.get_json()["success"]) == (403, False)
    assert api.read("n-1")


def test_backend_reads_and_removes_any_notification(api: Api) -> None:
    api.add()
    wanted = {"organizationId": "acme", "notificationIds": ["n-1"]}
    assert api.post(f"{PATH}get", wanted).get_json()["data"].keys() == {"n-1"}
    removed = api.post(f"{PATH}delete", {"organizationId": "acme", "notificationId": "n-1"})
    assert removed.get_json() == {"success": True, "statusCode": 200}
    assert api.post(f"{PATH}get", wanted).get_json()["data"] == {}


def test_an_add_after_a_deletion_creates_anew(api: Api) -> None:
    api.add()
    api.erase("n-1", user="ben")
    assert api.read("n-1") == {}
    api.add()
    assert api.read("n-1")
