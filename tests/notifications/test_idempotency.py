"""Idempotency-Key: a request that is repeated under one key adds one notification, with a random id."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from werkzeug.test import TestResponse

from resolver.cli import main
from resolver.outbox.queue import Outbox
from resolver.store.keyspace import IDEMPOTENCY
from resolver.velt.client import VeltClient
from tests.notifications.conftest import Working
from tests.support import (
    API_KEY,
    BACKEND,
    CALLER_TOKEN,
    Api,
    Velt,
    error_of,
    key,
    keys_of,
    notification,
    stored,
)
from tests.waiting import until

ADD = "/v2/notifications/add"
MakeApi = Callable[..., Api]
OTHER_BACKEND = "another-caller-token-0123456789abcdefghij"


def add(api: Api, idempotency_key: str | None, token: str = CALLER_TOKEN, **changes: Any) -> TestResponse:
    given = {name: value for name, value in notification(**changes).items() if value is not None}
    named = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    return api.post(ADD, {"data": given}, {**BACKEND, "x-velt-auth-token": token, **named})


def id_of(reply: TestResponse) -> str:
    assert reply.status_code == 200, reply.data
    return str(reply.get_json()["result"]["data"]["notificationId"])


def registration_of(reply: TestResponse) -> str:
    assert reply.status_code == 200, reply.data
    return str(reply.get_json()["result"]["data"]["registration"])


def test_a_repeated_request_under_one_idempotency_key_adds_one_notification(api: Api, velt: Velt) -> None:
    first, again = (add(api, "order-1042-shipped", notificationId=None) for _ in range(2))
    assert first.get_json() == again.get_json()
    assert len(velt.sent(ADD)) == 1
    assert api.read(id_of(first)).keys() == {id_of(first)}


def test_an_idempotency_key_is_found_neither_at_velt_nor_in_redis(api: Api, velt: Velt, redis: Redis) -> None:
    id_ = id_of(add(api, "order-1042-shipped", notificationId=None))
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", id_)
    assert "1042" not in str(velt.ledger())
    assert all(b"1042" not in (redis.dump(name) or b"") for name in keys_of(redis, "*"))


def test_another_request_under_the_same_idempotency_key_is_a_conflict(api: Api) -> None:
    id_ = id_of(add(api, "k-1", notificationId=None))
    other = add(api, "k-1", notificationId=None, displayBodyMessage="CANARY another text")
    assert error_of(other) == (409, "ALREADY_EXISTS")
    assert api.read(id_)[id_]["displayBodyMessage"] == "CANARY body"


def test_the_order_of_keys_in_the_body_makes_no_other_request(api: Api) -> None:
    body = {name: value for name, value in notification().items() if name != "notificationId"}
    headers = {**BACKEND, "idempotency-key": "k-1"}
    replies = [api.post(ADD, {"data": data}, headers) for data in (body, dict(reversed(body.items())))]
    assert id_of(replies[0]) == id_of(replies[1])


def test_an_idempotency_key_counts_for_its_backend_and_its_organization_alone(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_CALLER_TOKENS=f"backend:{CALLER_TOKEN},other:{OTHER_BACKEND}")
    ids = {
        id_of(add(api, "k-1", notificationId=None)),
        id_of(add(api, "k-1", OTHER_BACKEND, notificationId=None)),
        id_of(add(api, "k-1", notificationId=None, organizationId="globex")),
        id_of(add(api, "k-2", notificationId=None)),
    }
    assert len(ids) == 4


def test_repeated_request_keeps_later_changes(api: Api) -> None:
    """An update, and a person who dismissed it: a retry that comes late must not bring them back."""
    id_ = id_of(add(api, "k-1", notificationId=None, notifyAll=True))
    changed = {"organizationId": "acme", "notifications": [{"id": id_, "displayBodyMessage": "CANARY new"}]}
    assert api.velt("notifications/update", changed).status_code == 200
    assert api.erase(id_, user="cleo").status_code == 200
    add(api, "k-1", notificationId=None, notifyAll=True)
    assert api.read(id_)[id_]["displayBodyMessage"] == "CANARY new"
    assert api.read(id_, user="cleo") == {}


def test_idempotency_key_can_be_used_again_when_velt_refused_the_add(api: Api, velt: Velt) -> None:
    velt.break_with(status=400, errorStatus="INVALID_ARGUMENT", count=1)
    assert add(api, "k-1", notificationId=None).status_code == 400
    assert id_of(add(api, "k-1", notificationId=None, displayBodyMessage="CANARY mended"))


def test_repeated_request_says_whether_it_is_registered(api: Api, velt: Velt) -> None:
    velt.break_with(status=503)
    assert [registration_of(add(api, "k-1", notificationId=None)) for _ in range(2)] == ["pending", "pending"]


@pytest.fixture
def refused(make_api: MakeApi, velt: Velt, working: Working, outbox: Outbox) -> Api:
    """Velt gave the worker a final answer to the add under `k-1`, which was answered `pending`."""
    api = make_api(RESOLVER_REGISTRATION="deferred")
    id_of(add(api, "k-1", notificationId=None))
    velt.break_with(path=ADD, status=400, errorStatus="INVALID_ARGUMENT", count=1)
    with working():
        until(lambda: any(outbox.dead_letters.all()), "the registration is no dead letter")
    return api


@pytest.mark.parametrize("then", ["nothing", "drop"])
def test_a_repeat_is_refused_after_velt_refused_the_deferred_registration(
    refused: Api, resolver_environment: dict[str, str], then: str
) -> None:
    if then == "drop":
        CliRunner().invoke(main, ["outbox", "drop", "--all"], env=resolver_environment)
    assert error_of(add(refused, "k-1", notificationId=None)) == (409, "FAILED_PRECONDITION")


def test_a_repeat_is_answered_after_an_operator_retried_the_registration(
    refused: Api, resolver_environment: dict[str, str]
) -> None:
    retried = CliRunner().invoke(main, ["outbox", "retry", "--all"], env=resolver_environment)
    assert retried.exit_code == 0, retried.output
    assert registration_of(add(refused, "k-1", notificationId=None)) == "pending"


def test_a_dead_letter_of_a_deleted_notification_refuses_no_repeat_of_a_later_add(
    refused: Api, redis: Redis, working: Working, outbox: Outbox
) -> None:
    dead = next(outbox.dead_letters.all()).command
    assert dead
    refused.velt("notifications/delete", {"organizationId": "acme", "notificationIds": [dead.notification]})
    with working():
        assert id_of(add(refused, "k-1", notificationId=None)) == dead.notification
        until(lambda: not keys_of(redis, "{p*}q"), "nothing waits for Velt")
    assert registration_of(add(refused, "k-1", notificationId=None)) == "registered"


def test_concurrent_requests_under_one_key_add_one_notification(
    api: Api, velt: Velt, redis: Redis, working: Working
) -> None:
    replies: list[TestResponse] = []
    threads = [
        threading.Thread(target=lambda: replies.append(add(api, "k-1", notificationId=None)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status_code for reply in replies} <= {200, 503}
    assert len({id_of(reply) for reply in replies if reply.status_code == 200}) == 1
    with working():
        until(lambda: not keys_of(redis, "{p*}q"), "nothing waits for Velt")
    assert len(velt.sent(ADD)) == 1


def test_a_repeat_is_not_answered_success_while_velt_may_still_refuse_the_first_request(
    api: Api, velt: Velt, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered, post = threading.Event(), threading.Event(), VeltClient.post

    def slow(self: VeltClient, *arguments: Any) -> Any:
        asked.set()
        answered.wait(5)
        return post(self, *arguments)

    monkeypatch.setattr(VeltClient, "post", slow)
    velt.break_with(path=ADD, status=400)
    first = threading.Thread(target=add, args=(api, "k-1"), kwargs={"notificationId": None})
    first.start()
    assert asked.wait(5)
    repeat = add(api, "k-1", notificationId=None)
    answered.set()
    first.join()
    assert repeat.status_code == 503


def test_an_idempotency_key_beside_an_id_is_refused(api: Api) -> None:
    assert error_of(add(api, "k-1")) == (400, "INVALID_ARGUMENT")


def test_an_idempotency_key_out_of_form_is_refused(api: Api) -> None:
    for odd in ("", "x" * 256, "caf\u00e9", "a\tb"):
        assert error_of(add(api, odd, notificationId=None)) == (400, "INVALID_ARGUMENT"), odd


def test_two_idempotency_keys_on_one_request_are_refused(api: Api) -> None:
    """Servers join two headers of one name with a comma, which would make a third key of them."""
    data = {name: value for name, value in notification().items() if name != "notificationId"}
    headers = [*BACKEND.items(), ("idempotency-key", "k-1"), ("idempotency-key", "k-2")]
    reply = api.client.post("/v2/notifications/add", json={"data": data}, headers=headers)
    assert error_of(reply) == (400, "INVALID_ARGUMENT")


def test_ids_stay_the_same_through_a_new_master_key_and_a_new_lookup_key(
    make_api: MakeApi, resolver_environment: dict[str, str], redis: Redis, tmp_path: Path
) -> None:
    """A retry may come after either: it must not add a second notification."""
    id_ = id_of(add(make_api(), "k-1", notificationId=None))
    before = stored(redis, IDEMPOTENCY)
    rotated = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)},k1:{key(1)}"}
    assert CliRunner().invoke(main, ["keys", "rotate"], env=rotated).exit_code == 0
    assert stored(redis, IDEMPOTENCY) != before
    withdrawn = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)}"}
    new_key = tmp_path / "new.key"
    new_key.write_text(key(77), encoding="utf-8")
    told = CliRunner().invoke(main, ["keys", "reindex", str(new_key), "--yes"], env=withdrawn)
    assert told.exit_code == 0, told.output
    api = make_api(RESOLVER_MASTER_KEYS=f"k2:{key(2)}", RESOLVER_INDEX_KEY=key(77))
    assert id_of(add(api, "k-1", notificationId=None)) == id_


def test_processes_derive_the_same_id_after_redis_lost_the_secret(make_api: MakeApi, redis: Redis) -> None:
    """One process had used the secret before it was lost, the other one makes the new one."""
    earlier, later = make_api(), make_api()
    add(earlier, "k-1", notificationId=None)
    redis.delete(IDEMPOTENCY)
    assert len({id_of(add(api, "k-2", notificationId=None)) for api in (later, earlier)}) == 1


def test_a_secret_that_does_not_open_is_an_outage_and_no_second_notification(
    make_api: MakeApi, redis: Redis
) -> None:
    api = make_api()
    add(api, "k-1", notificationId=None)
    redis.set(IDEMPOTENCY, b"\x01" + bytes(40))
    assert add(make_api(), "k-1", notificationId=None).status_code == 503


def test_minted_ids_stay_the_default(api: Api) -> None:
    ids = {id_of(add(api, None, notificationId=None)) for _ in range(2)}
    assert len(ids) == 2
    assert API_KEY not in str(ids)
