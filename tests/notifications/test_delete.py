"""Delete: the content is removed with its notification, and no other content is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, cast

import orjson
import pytest
from msgspec.structs import replace
from redis import Redis

from resolver.store.record import Record
from resolver.wiring import Services
from tests.support import JSON, Api, Velt, error_of
from tests.waiting import until

DELETE = "/v2/notifications/delete"


def delete(api: Api, **data: Any) -> JSON:
    reply = api.velt("notifications/delete", {"organizationId": "acme", **data})
    assert reply.status_code == 200, reply.data
    assert reply.get_json()["result"]["message"] == "Notification(s) deleted successfully."
    outcomes: JSON = reply.get_json()["result"]["data"]
    return outcomes


def test_delete_by_ids_removes_content_here_and_the_notification_at_velt(api: Api, velt: Velt) -> None:
    api.add()
    api.add(notificationId="n-2")
    assert delete(api, notificationIds=["n-1"])["n-1"]["success"] is True
    assert api.read("n-1", "n-2").keys() == {"n-2"}
    assert [item["id"] for item in velt.inbox("ben")] == ["n-2"]


def test_delete_by_ids_removes_content_when_velt_is_down(api: Api, velt: Velt) -> None:
    api.add()
    velt.break_with(status=500, count=1)
    assert delete(api, notificationIds=["n-1"]) == {
        "n-1": {"success": True, "message": "Notification deleted."}
    }
    assert api.read("n-1") == {}


def test_delete_without_ids_removes_content_of_what_velt_deleted(api: Api, velt: Velt) -> None:
    for n, document in enumerate(("doc-1", "doc-1", "doc-2")):
        api.add(notificationId=f"n-{n}", documentId=document)
    assert delete(api, documentId="doc-1").keys() == {"n-0", "n-1"}
    assert api.read("n-0", "n-1", "n-2").keys() == {"n-2"}


def test_delete_without_ids_removes_nothing_when_velt_is_down(api: Api, velt: Velt) -> None:
    api.add()
    velt.break_with(drop="before", count=1)
    reply = api.velt("notifications/delete", {"organizationId": "acme", "documentId": "doc-1"})
    assert error_of(reply) == (503, "UNAVAILABLE")
    assert api.read("n-1")


@pytest.mark.parametrize("ids", [[], None])
def test_an_empty_list_of_ids_is_refused_and_never_widened(api: Api, velt: Velt, ids: Any) -> None:
    api.add()
    reply = api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ids})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert velt.ledger(DELETE) == []
    assert api.read("n-1")


def test_delete_fails_for_pending_and_registered_ids_that_the_filters_do_not_select(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    failed = {"success": False, "message": "Failed to delete notification."}
    assert delete(api, documentId="doc-2", notificationIds=["n-1"]) == {"n-1": failed}
    assert api.read("n-1")


def test_another_document_or_organization_keeps_its_content(api: Api) -> None:
    api.add()
    delete(api, documentId="doc-2", notificationIds=["n-1"])
    delete(api, organizationId="zeta", notificationIds=["n-1"])
    assert api.read("n-1")


@pytest.mark.parametrize("filters", [{"userId": "nobody"}, {"locationId": "elsewhere"}])
def test_delete_keeps_content_that_the_filters_do_not_select(api: Api, filters: dict[str, str]) -> None:
    api.add(location={"id": "here"})
    delete(api, notificationIds=["n-1"], **filters)
    assert api.read("n-1")


def test_many_ids_go_to_velt_in_calls_of_thirty(api: Api, velt: Velt) -> None:
    ids = [f"n-{n}" for n in range(65)]
    assert delete(api, notificationIds=[*ids, *ids]).keys() == set(ids)
    assert [len(sent["notificationIds"]) for sent in velt.sent(DELETE)] == [30, 30, 5]


def result_of(api: Api, **data: Any) -> JSON:
    reply = api.velt("notifications/delete", {"organizationId": "acme", **data})
    assert reply.status_code == 200, reply.data
    result: JSON = reply.get_json()["result"]
    return result


def test_organization_alone_is_refused_with_the_command_that_erases_it(api: Api, velt: Velt) -> None:
    api.add()
    reply = api.velt("notifications/delete", {"organizationId": "acme"})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert "resolver privacy erase --organization" in reply.get_json()["error"]["message"]
    assert velt.ledger(DELETE) == []
    assert api.read("n-1")


TWO = [{"userId": "ben"}, {"userId": "dan"}]


@pytest.mark.parametrize("ids", [{"notificationIds": ["n-1"]}, {}])
@pytest.mark.parametrize("audience", [{"notifyUsers": TWO}, {"notifyAll": True}])
def test_user_filter_takes_out_only_that_person(
    make_api: Callable[..., Api], velt: Velt, ids: JSON, audience: JSON
) -> None:
    api = make_api(RESOLVER_READ_POLICY="organization")
    api.add(**audience)
    result = result_of(api, userId="ben", **ids)
    assert (result["data"]["n-1"]["success"], result["kept"]) == (True, 1)
    assert api.read("n-1", user="ben") == {}
    assert api.read("n-1", user="dan")
    assert velt.sent(DELETE) == [{"organizationId": "acme", "userId": "ben", **ids}]


@pytest.mark.parametrize("ids", [{"notificationIds": ["n-1"]}, {}])
def test_user_filter_removes_the_record_when_no_other_person_is_addressed(api: Api, ids: JSON) -> None:
    api.add()
    result = result_of(api, userId="ben", **ids)
    assert (result["data"]["n-1"]["success"], result["kept"]) == (True, 0)
    assert api.services.store.read("acme", ["n-1"]) == {}


def test_user_filter_can_be_repeated(api: Api) -> None:
    api.add(notifyUsers=TWO)
    first = result_of(api, userId="ben", notificationIds=["n-1"])
    assert result_of(api, userId="ben", notificationIds=["n-1"])["kept"] == first["kept"] == 1
    (record,) = api.services.store.read("acme", ["n-1"]).values()
    assert (record.audience, record.dismissed_by) == (("dan",), ("ben",))


def test_user_filter_keeps_the_queued_registration_for_others(make_api: Callable[..., Api]) -> None:
    """Otherwise the other people would never see the notification at Velt."""
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notifyUsers=TWO)
    result_of(api, userId="ben", notificationIds=["n-1"])
    assert {str(kind) for kind, _ in api.services.outbox.commands()} == {"register", "remove"}


def test_user_filter_of_a_scope_appends_to_queued_commands(make_api: Callable[..., Api], velt: Velt) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notifyUsers=TWO)
    hostile(velt, "n-1")
    assert result_of(api, userId="ben")["kept"] == 1
    waiting = {str(kind): data for kind, data in api.services.outbox.commands()}
    assert waiting.keys() == {"register", "remove"}
    assert waiting["remove"] == {"organizationId": "acme", "userId": "ben", "notificationIds": ["n-1"]}


def test_user_filter_of_a_scope_queues_nothing_when_the_queue_is_empty(api: Api, velt: Velt) -> None:
    api.add(notifyUsers=TWO)
    assert result_of(api, userId="ben")["kept"] == 1
    assert list(api.services.outbox.commands()) == []


@pytest.mark.parametrize("ids", [{"notificationIds": ["n-1", "n-2"]}, {}])
def test_user_filter_fails_when_the_list_of_dismissals_is_full(api: Api, ids: JSON) -> None:
    api.add(notifyUsers=TWO)
    api.add(notificationId="n-2", notifyUsers=TWO)
    full = tuple(f"{n:03}{'x' * 500}" for n in range(131))
    api.services.store.change("acme", "n-1", lambda record: (replace(record, dismissed_by=full), None))
    result = result_of(api, userId="ben", **ids)
    assert {id_: outcome["success"] for id_, outcome in result["data"].items()} == {"n-1": False, "n-2": True}
    assert result["kept"] == 1
    assert api.read("n-1", "n-2").keys() == {"n-1"}


def test_reply_has_no_kept_without_a_user_filter(api: Api) -> None:
    api.add()
    assert "kept" not in result_of(api, notificationIds=["n-1"])


def hostile(velt: Velt, *ids: str) -> None:
    """Velt answers the next deletion with these ids, whatever was asked."""
    outcomes = {id_: {"success": True, "message": "Notification deleted."} for id_ in ids}
    body = {"result": {"status": "success", "message": "Notification(s) deleted successfully."}}
    body["result"]["data"] = outcomes  # type: ignore[assignment]
    velt.break_with(path=DELETE, body=body, count=1)


@pytest.mark.parametrize(
    "filters", [{"documentId": "doc-2"}, {"userId": "mallory"}, {"documentId": "doc-1", "locationId": 8}]
)
def test_delete_keeps_content_that_velt_names_but_the_filters_do_not_select(
    make_api: Callable[..., Api], velt: Velt, tmp_path: Path, filters: JSON
) -> None:
    log = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(log))
    api.add(location={"id": "7"})
    hostile(velt, "n-1", "unknown")
    outcomes = result_of(api, **filters)["data"]
    assert (outcomes["n-1"]["success"], outcomes["unknown"]["success"]) == (False, True)
    assert api.read("n-1")
    events = [
        line for line in map(orjson.loads, log.read_bytes().splitlines()) if line.get("action") == "delete"
    ]
    assert [(event.get("ids"), event.get("denied")) for event in events] == [(None, None), (None, ["n-1"])]


def test_delete_by_scope_is_audited_before_records_are_removed(
    make_api: Callable[..., Api], velt: Velt, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(log))
    api.add(location={"id": 7})
    assert delete(api, documentId="doc-1", locationId="7").keys() == {"n-1"}
    events = [
        line for line in map(orjson.loads, log.read_bytes().splitlines()) if line.get("action") == "delete"
    ]
    assert [event.get("ids") for event in events] == [None, ["n-1"]]
    assert len({event["request"] for event in events}) == 1
    assert api.read("n-1") == {}


@pytest.mark.single_server
def test_a_scope_of_many_ids_is_removed_in_few_round_trips(
    api: Api, services: Services, velt: Velt, redis: Redis
) -> None:
    ids = [f"n-{n}" for n in range(250)]
    record = Record("acme", "n-0", "doc-1", "ana", audience=("ben",), everyone=False)
    for id_ in ids:
        services.store.put(replace(record, notification=id_))
    hostile(velt, *ids)
    before = pieces_received(redis)
    assert result_of(api, documentId="doc-1")["data"].keys() == set(ids)
    assert pieces_received(redis) - before < 40
    assert services.store.read("acme", ids) == {}


def pieces_received(redis: Redis) -> int:
    """Return how often the server has read from connections. It reads a pipeline in a few pieces."""
    stats = cast(dict[str, int], redis.info("stats"))
    return stats["total_reads_processed"]


@pytest.mark.single_server
def test_a_scope_that_cannot_be_removed_in_time_is_an_error(api: Api, velt: Velt, redis: Redis) -> None:
    """Velt has deleted its rows, and the content is still here: no success."""
    api.add()
    velt.break_with(path=DELETE, latencyMs=300, count=1)

    def stop_writes_once_velt_is_asked() -> None:
        until(lambda: velt.ledger(DELETE), "Velt is asked")
        redis.client_pause(3000, all=False)

    watching = Thread(target=stop_writes_once_velt_is_asked)
    watching.start()
    reply = api.velt("notifications/delete", {"organizationId": "acme", "documentId": "doc-1"})
    watching.join()
    redis.client_unpause()
    assert error_of(reply) == (503, "UNAVAILABLE")
    assert api.services.store.read("acme", ["n-1"])


def test_delete_overrides_velts_success_for_records_that_are_kept(api: Api, velt: Velt) -> None:
    api.add()
    hostile(velt, "n-1")
    assert delete(api, documentId="doc-2", notificationIds=["n-1"])["n-1"]["success"] is False
    assert api.read("n-1")
