"""The data provider endpoints: the SDK's shapes and variants, and the same answer for absent and for
denied."""

from __future__ import annotations

import re
import sys
import tracemalloc
from typing import Any

import orjson
import pytest
from redis import Redis

from resolver.store.record import Record
from tests.support import Api, keys_of

GET, DELETE = "/api/velt/notifications/get", "/api/velt/notifications/delete"
EMPTY = {"data": {}, "success": True, "statusCode": 200}
DONE = {"success": True, "statusCode": 200}


def bearer(api: Api, user: str = "ben", *organizations: str) -> dict[str, str]:
    return {"authorization": f"Bearer {api.token(user, *(organizations or ('acme',)))}"}


def test_get_answers_in_the_sdks_shape(api: Api) -> None:
    api.add()
    reply = api.callback("get", {"organizationId": "acme", "notificationIds": ["n-1"]})
    body = reply.get_json()
    assert (reply.status_code, body["success"], body["statusCode"]) == (200, True, 200)
    assert body["data"]["n-1"]["notificationId"] == "n-1"
    assert body["data"]["n-1"]["displayBodyMessage"] == "CANARY body"


@pytest.mark.parametrize(
    "content", [{}, {"a": 1}, {"text": 'quotes " and { braces }', "deep": [{"x": None}]}]
)
def test_content_comes_back_as_it_is_under_its_id(api: Api, content: dict[str, Any]) -> None:
    for id_ in ('n"1', "n-2"):
        api.services.store.put(Record("acme", id_, "doc", "ben", content=orjson.dumps(content)))
    assert api.read('n"1', "n-2") == {
        'n"1': {"notificationId": 'n"1', **content},
        "n-2": {"notificationId": "n-2", **content},
    }


def test_ids_made_of_what_json_is_made_of_have_each_their_own_content(api: Api) -> None:
    ids = ['a",', '","', '"', ",", "\\", '\\",\\"', '",\n  "', "[\n", "\n]", "{}", "\u2028", "😀\x7f", "b"]
    for id_ in ids:
        api.services.store.put(Record("acme", id_, "doc", "ben", content=orjson.dumps({"of": id_})))
    assert api.read(*ids) == {id_: {"notificationId": id_, "of": id_} for id_ in ids}


def test_read_of_many_holds_one_decoded_audience_at_a_time(api: Api) -> None:
    """A decoded name takes many times its bytes: all audiences together would take hundreds of megabytes."""
    audience = (*(f"{n:04}" for n in range(5000)), "ben")
    ids = [f"n-{n}" for n in range(100)]
    for id_ in ids:
        api.services.store.put(Record("acme", id_, "doc", "ana", audience, False))
    sealed, decoded = (len(ids) * sum(map(size, audience)) for size in (len, sys.getsizeof))
    headers = bearer(api)
    tracemalloc.start()
    try:
        reply = api.post(GET, {"organizationId": "acme", "notificationIds": ids}, headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(reply.get_json()["data"]) == len(ids)
    assert peak < sealed + decoded / 4


@pytest.mark.parametrize("body", [{}, {"notificationIds": []}, {"notificationIds": None}])
@pytest.mark.parametrize("organization", [{}, {"organizationId": "acme"}])
def test_no_ids_is_no_content_and_never_everything(api: Api, body: Any, organization: Any) -> None:
    api.add()
    reply = api.callback("get", {**organization, **body})
    assert (reply.status_code, reply.get_json()) == (200, EMPTY)


def test_unknown_foreign_and_forbidden_ids_are_absent_byte_for_byte(api: Api, redis: Redis) -> None:
    api.add(notificationId="forbidden", notifyUsers=[{"userId": "dan"}])
    api.add(notificationId="foreign", organizationId="zeta")
    api.add(notificationId="broken")
    name = next(key for key in keys_of(redis) if not _opens(api, "broken", redis, key))
    redis.set(name, b"not sealed by us")
    replies = [
        api.callback("get", {"organizationId": organization, "notificationIds": [id_]})
        for organization, id_ in (
            ("acme", "unknown"),
            ("acme", "forbidden"),
            ("acme", "foreign"),
            ("acme", "broken"),
            ("zeta", "foreign"),
            ("acme", "x" * 5000),
            ("acme", ""),
            ("acme", "*"),
            ("acme", "{p00}n:*"),
        )
    ]
    seen = {(reply.status_code, reply.data, _comparable(reply.headers)) for reply in replies}
    assert seen == {(200, b'{"data":{},"success":true,"statusCode":200}', next(iter(seen))[2])}


def _opens(api: Api, id_: str, redis: Redis, name: bytes) -> bool:
    """Whether the record still opens with this key taken away: finds which key an id is under."""
    value = redis.get(name)
    assert isinstance(value, bytes)
    redis.delete(name)
    opens = bool(api.read(id_))
    redis.set(name, value)
    return opens


def _comparable(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in headers.items() if name != "X-Request-Id"))


def test_the_same_id_under_two_organizations_never_meets(api: Api) -> None:
    api.add(displayBodyMessage="acme's")
    api.add(organizationId="zeta", displayBodyMessage="zeta's")
    both = bearer(api, "ben", "acme", "zeta")
    for organization in ("acme", "zeta"):
        reply = api.post(GET, {"organizationId": organization, "notificationIds": ["n-1"]}, both)
        assert reply.get_json()["data"]["n-1"]["displayBodyMessage"] == f"{organization}'s"
    api.post(DELETE, {"organizationId": "acme", "notificationId": "n-1"}, both)
    assert api.read("n-1", organization="zeta")


@pytest.mark.single_server
def test_a_thousand_ids_are_read_with_eleven_mgets_and_more_are_refused(api: Api, redis: Redis) -> None:
    api.add()
    headers = bearer(api)
    redis.config_resetstat()
    ids = ["n-1", *(f"id-{n}" for n in range(999))]
    reply = api.post(GET, {"organizationId": "acme", "notificationIds": ids}, headers)
    assert reply.get_json()["data"].keys() == {"n-1"}
    # The two marks that revoke tokens come beside the records.
    assert redis.info("commandstats")["cmdstat_mget"]["calls"] == 11
    assert (
        api.post(GET, {"organizationId": "acme", "notificationIds": [*ids, "x"]}, headers).status_code == 400
    )


@pytest.mark.single_server
def test_records_of_an_organization_that_the_token_does_not_hold_are_not_looked_up(
    api: Api, redis: Redis
) -> None:
    """The only command to Redis asks whether the token is revoked."""
    api.add()
    headers = bearer(api, "ben", "zeta")
    with redis.monitor() as monitor:  # type: ignore[no-untyped-call]
        assert (
            api.post(GET, {"organizationId": "acme", "notificationIds": ["n-1"]}, headers).get_json() == EMPTY
        )
        assert (
            api.post(DELETE, {"organizationId": "acme", "notificationId": "n-1"}, headers).get_json() == DONE
        )
        redis.echo("the end")
        commands = []
        while "the end" not in (command := monitor.next_command()["command"]):
            commands.append(command)
    assert {name[5:7] for command in commands for name in re.findall(r"\{p\d\d\}.:", command)} == {"r:"}
    assert api.read("n-1")


def test_deleting_twice_succeeds_twice(api: Api) -> None:
    api.add()
    for _ in range(2):
        reply = api.erase("n-1")
        assert (reply.status_code, reply.get_json()) == (200, DONE)
    assert api.read("n-1") == {}


def test_integer_ids_are_read_as_their_digits(api: Api) -> None:
    api.add(notificationId="5471488637912692")
    found = api.read(5471488637912692, 5471488637912692, "5471488637912692")
    assert found.keys() == {"5471488637912692"}
    body = {"organizationId": "acme", "notificationId": 5471488637912692}
    assert api.callback("delete", body).status_code == 200
    assert api.read("5471488637912692") == {}


@pytest.mark.parametrize("id_", [2**53, -(2**53), 1.5, True, None, {}, {"$ne": None}, [], ["n-1"]])
def test_any_other_id_is_refused(api: Api, id_: Any) -> None:
    for name, body in (("get", {"notificationIds": ["n-1", id_]}), ("delete", {"notificationId": id_})):
        reply = api.callback(name, {"organizationId": "acme", **body})
        assert reply.status_code == 400
        assert reply.get_json().keys() == {"success", "statusCode", "message"}
        assert (reply.get_json()["success"], reply.get_json()["statusCode"]) == (False, 400)


@pytest.mark.parametrize("ids", ["n-1", {"n-1": True}, 7, True])
def test_ids_that_are_no_list_are_refused(api: Api, ids: Any) -> None:
    assert api.callback("get", {"organizationId": "acme", "notificationIds": ids}).status_code == 400


@pytest.mark.parametrize(
    "place",
    [
        {"organizationId": "acme"},
        {"organizationId": "acme", "metadata": {"organizationId": "zeta", "clientOrganizationId": "zeta"}},
        {"metadata": {"clientOrganizationId": "acme", "organizationId": "velts-own"}},
        {"metadata": {"organizationId": "acme", "apiKey": "k", "documentId": "d"}},
        {"organizationId": "", "metadata": {"organizationId": "acme"}},
        {"organizationId": None},
        {},
        {"metadata": "odd"},
    ],
)
def test_the_organization_is_found_where_the_sdk_versions_put_it(api: Api, place: Any) -> None:
    api.add()
    body = {**place, "notificationIds": ["n-1"], "userId": "ana", "event": "notification.get"}
    assert api.callback("get", body).get_json()["data"].keys() == {"n-1"}
    wrapped = api.callback("get", {"data": body})
    assert wrapped.get_json()["data"].keys() == {"n-1"}


def test_without_an_organization_a_token_of_several_is_not_guessed_from(api: Api) -> None:
    for name, body in (("get", {"notificationIds": ["n-1"]}), ("delete", {"notificationId": "n-1"})):
        assert (
            api.post(f"/api/velt/notifications/{name}", body, bearer(api, "ben", "acme", "zeta")).status_code
            == 400
        )
        assert api.post(f"/api/velt/notifications/{name}", body).status_code == 400


@pytest.mark.parametrize("organization", [7, {}, ["acme"], True, {"$ne": ""}])
def test_an_organization_that_is_no_string_is_refused(api: Api, organization: Any) -> None:
    body = {"organizationId": organization, "notificationIds": ["n-1"], "notificationId": "n-1"}
    for name in ("get", "delete"):
        assert api.callback(name, body).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer not-a-token"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-velt-api-key": "velt-api-key-for-tests"},
        {"x-velt-api-key": "velt-api-key-for-tests", "x-velt-auth-token": "velt-auth-token-for-tests"},
        {"x-velt-api-key": "wrong", "x-velt-auth-token": "wrong"},
    ],
)
def test_every_failed_credential_is_the_same_401_without_a_look_at_redis(
    api: Api, redis: Redis, headers: dict[str, str]
) -> None:
    redis.config_resetstat()
    for path in (GET, DELETE):
        reply = api.post(
            path, {"organizationId": "acme", "notificationIds": ["n"], "notificationId": "n"}, headers
        )
        assert reply.status_code == 401
        assert reply.get_json() == {
            "success": False,
            "statusCode": 401,
            "message": "A valid credential is required.",
        }
    assert set(redis.info("commandstats")) == {"cmdstat_config|resetstat"}


def test_a_failing_token_is_not_rescued_by_a_backends_headers(api: Api) -> None:
    headers = {"x-velt-api-key": "velt-api-key-for-tests", "authorization": "Bearer nope"}
    assert api.post(GET, {"notificationIds": []}, headers).status_code == 401


def test_an_outage_is_a_503_in_the_sdks_shape_and_never_an_empty_200(make_api: Any) -> None:
    api = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    for name in ("get", "delete"):
        body = {"organizationId": "acme", "notificationIds": ["n"], "notificationId": "n"}
        reply = api.callback(name, body)
        assert reply.status_code == 503
        assert (reply.get_json()["success"], reply.get_json()["statusCode"]) == (False, 503)
        assert "redis" not in reply.get_json()["message"].lower()


def test_returned_content_never_forges_the_sdks_record(api: Api) -> None:
    forged = dict.fromkeys(("id", "timestamp", "forYou", "visibility", "isUnread", "actionType"), "forged")
    api.add(**forged, **{"__proto__": {"x": 1}}, notificationSourceData={"constructor": 1, "ok": 1})
    found = api.read("n-1")["n-1"]
    assert not (forged.keys() | {"__proto__", "organizationId", "notifyUsers", "metadata"}) & found.keys()
    assert found["notificationSourceData"] == {"ok": 1}
