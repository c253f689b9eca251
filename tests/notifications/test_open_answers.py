"""The promises hold for either answer where Velt's documentation leaves it open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from tests.notifications.conftest import Working
from tests.support import JSON, Api, Velt, keys_of
from tests.waiting import until

DELETE, ADD = "/v2/notifications/delete", "/v2/notifications/add"
ANSWERS: list[JSON] = [
    {"addAgain": "refuse"},
    {"addAgain": "keep"},
    {"addAgain": "duplicate"},
    {"unknownUpdate": "refuse", "unknownDelete": "refuse"},
    {"unknownUpdate": "success", "unknownDelete": "success"},
    {"getFlag": True, "getSource": False, "displayFields": "invented"},
    {"lagMs": 60_000},
]


@pytest.fixture
def work(working: Working, redis: Redis) -> Callable[[], None]:
    """A worker, until nothing waits."""

    def run() -> None:
        with working():
            until(lambda: not keys_of(redis, "{p*}q") and not keys_of(redis, "{p*}c:*"), "nothing waits")
        assert not keys_of(redis, "{p*}d"), "there is no dead letter"
        assert not keys_of(redis, "{p*}q")

    return run


@pytest.mark.parametrize("answers", ANSWERS, ids=str)
def test_add_is_registered_and_readable_when_the_connection_broke_after_velt_accepted(
    api: Api, velt: Velt, work: Callable[[], None], answers: JSON
) -> None:
    velt.control("POST", "answers", answers)
    velt.break_with(path=ADD, drop="after", count=1)
    assert api.add().get_json()["result"]["data"]["registration"] == "pending"
    work()
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"
    assert "n-1" in [item["id"] for item in velt.inbox("ben")]
    assert not [entry for entry in velt.ledger() if "CANARY" in entry["raw"]]


@pytest.mark.parametrize("answers", ANSWERS, ids=str)
def test_an_add_of_an_id_that_exists_replaces_its_content(api: Api, velt: Velt, answers: JSON) -> None:
    velt.control("POST", "answers", answers)
    api.add()
    assert api.add(displayBodyMessage="CANARY again").status_code == 200
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY again"


@pytest.mark.parametrize("answers", ANSWERS, ids=str)
def test_delete_of_several_removes_the_others_when_one_is_gone(
    api: Api, velt: Velt, work: Callable[[], None], answers: JSON
) -> None:
    velt.control("POST", "answers", answers)
    for id_ in ("n-1", "n-2"):
        api.add(notificationId=id_)
    ids = ["n-1", "never-was", "n-2"]
    reply = api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ids})
    assert reply.status_code == 200
    assert reply.get_json()["result"]["data"]["n-1"]["success"] is True
    work()
    assert api.read("n-1", "n-2") == {}
    assert velt.inbox("ben") == []


def test_delete_succeeds_when_velt_does_not_have_the_notification(api: Api, velt: Velt, redis: Redis) -> None:
    velt.control("POST", "answers", {"unknownDelete": "refuse"})
    body = {"organizationId": "acme", "notificationIds": ["never-was"]}
    assert api.velt("notifications/delete", body).status_code == 200
    assert not keys_of(redis, "{p*}[cqd]*"), "and nothing waits"


@pytest.mark.parametrize("answers", [{"getSource": False}, {"displayFields": "invented"}], ids=str)
def test_backend_gets_the_sealed_content_not_velts(api: Api, velt: Velt, answers: Any) -> None:
    api.add()
    velt.control("POST", "answers", answers)
    found = api.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1"}).get_json()
    (item,) = found["result"]["data"]
    assert item["displayBodyMessage"] == "CANARY body"
    assert item["actionUser"]["name"] == "CANARY Ana"
