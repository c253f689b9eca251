"""Erasures carried out: content, commands, Velt, and then the certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from resolver.errors import AuditUnavailable
from resolver.privacy.eraser import Eraser
from resolver.privacy.erasures import Erasures
from resolver.record import Record
from resolver.vault.keyspace import ORDERS
from tests.erasing import done, filed, order
from tests.support import Api, Velt, everything_in

JSON = dict[str, Any]
Environment = dict[str, str]
MakeEraser = Callable[..., Eraser]


def test_the_certificate_comes_once_velt_was_told_of_all(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api.add(notificationId="goes")
    api.add(notificationId="stays", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    erasures = filed(eraser, what := order("ben"))
    eraser.round()
    found = erasures.find(what.id)
    assert found
    assert (found["status"], found["counts"]["removed"], found["counts"]["cut"]) == ("telling", 1, 1)
    certificate = done(eraser, resolver_environment, what)["certificate"]["certificate"]
    assert certificate["velt"] == {"told": 2, "refused": 0, "userData": "not asked for"}
    assert certificate["counts"] == {"lookedAt": 2, "removed": 1, "cut": 1, "commands": 0, "unreadable": 0}
    assert [item["id"] for item in velt.inbox("ben") if item["forYou"]] == []


def test_nothing_in_redis_or_in_the_certificate_names_the_person(
    api: Api, eraser: Eraser, redis: Redis, resolver_environment: Environment
) -> None:
    api.add(notifyUsers=[{"userId": "who-will-be-erased"}])
    what = order("who-will-be-erased", emails=("Her.Address@example.com",), organizations=("acme",))
    filed(eraser, what)
    while_under_way = everything_in(redis)
    found = done(eraser, resolver_environment, what)
    for text in (while_under_way, everything_in(redis), json.dumps(found).encode()):
        assert b"who-will-be-erased" not in text
        assert b"her.address" not in text.lower()
    assert redis.hgetall(ORDERS) == {}


def test_asked_for_twice_the_second_finds_nothing(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    api.add()
    done(eraser, resolver_environment, order("ben"))
    assert done(eraser, resolver_environment, order("ben"))["counts"]["removed"] == 0


def test_stopped_after_any_batch_another_process_finishes_and_counts_nothing_twice(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    for number in range(1200):
        api.services.vault.put(record(f"n-{number}"))
    first, second = make_eraser(), make_eraser()
    erasures = filed(first, what := order("ben"))
    steps = first.advance_by_id(what.id)
    next(steps)
    second.round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "erasing", "the first has it still"
    first.orders.let_go(first.me)
    found = done(second, resolver_environment, what)
    assert found["counts"]["removed"] == 1200
    assert list(api.services.vault.scan()) == []


def record(name: str) -> Record:
    return Record("acme", name, "d", "ana", ("ben",), False, content=b'{"displayBodyMessage":"hello"}')


def test_what_cannot_be_put_on_record_is_not_erased(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    api.add()
    eraser = make_eraser(RESOLVER_AUDIT_LOG="/dev/full")
    filed(eraser, order("ben"))
    with pytest.raises(AuditUnavailable):
        eraser.round()
    assert len(list(api.services.vault.scan())) == 1


def test_what_somebody_writes_meanwhile_is_erased_as_it_is_by_then(
    api: Api, eraser: Eraser, resolver_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    announce = eraser._announce

    def meddle(what: Any, doomed: Any) -> None:
        announce(what, doomed)
        api.add(notifyUsers=[{"userId": "ben"}, {"userId": "zoe"}], displayBodyMessage="later")

    monkeypatch.setattr(eraser, "_announce", meddle)
    done(eraser, resolver_environment, order("ben"))
    (held,) = api.services.vault.scan()
    assert held.audience == ("zoe",)
    assert held.parsed_content()["displayBodyMessage"] == "later"


def test_every_record_that_changes_is_on_record(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    for organization in ("acme", "zeta"):
        api.add(organizationId=organization)
    eraser = make_eraser(RESOLVER_AUDIT_LOG=str(tmp_path / "audit.log"))
    found = done(eraser, resolver_environment, what := order("ben"))
    lines = list(map(json.loads, (tmp_path / "audit.log").read_text().splitlines()))
    erased = [line for line in lines if line["action"] == "erase"]
    assert {(line["organization"], *line["ids"]) for line in erased} == {("acme", "n-1"), ("zeta", "n-1")}
    (last,) = [line for line in lines if line["action"] == "erased"]
    head = found["certificate"]["certificate"]["audit"]
    assert (last["chain"], last["seq"], last["hash"]) == (head["chain"], head["seq"], head["hash"])
    assert {line["erasure"] for line in (*erased, last)} == {what.id}


def test_velts_own_data_goes_only_when_asked_for_and_is_waited_for(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api.add()
    done(eraser, resolver_environment, order("zoe"))
    assert not velt.sent("/v2/users/data/delete")
    users = tuple(f"user-{number}" for number in range(31))
    what = order(*users, organizations=("acme",), velt_user_data=True)
    certificate = done(eraser, resolver_environment, what)["certificate"]["certificate"]
    sent = velt.sent("/v2/users/data/delete")
    assert [len(body["userIds"]) for body in sent] == [30, 1], "of more, Velt leaves out the rest silently"
    assert {*sent[0]["userIds"], *sent[1]["userIds"]} == set(users)
    assert all(body["organizationIds"] == ["acme"] for body in sent)
    outcomes = [job["outcome"] for job in certificate["velt"]["userData"]]
    assert outcomes == ["completed", "completed"]
    assert len(velt.sent("/v2/users/data/delete/status")) == 4


def test_that_velt_refuses_to_delete_is_in_the_certificate(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    refusal = {"status": 403, "errorStatus": "PERMISSION_DENIED", "path": "/v2/users/data/delete"}
    velt.break_with(**refusal)
    found = done(eraser, resolver_environment, order("ben", velt_user_data=True))
    (job,) = found["certificate"]["certificate"]["velt"]["userData"]
    assert job["outcome"] == "PERMISSION_DENIED"


def test_while_velt_is_down_there_is_no_certificate_and_the_content_is_gone(
    make_api: Callable[..., Api], eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    velt.break_with(status=503)
    erasures = filed(eraser, what := order("ben", velt_user_data=True))
    for _ in range(2):
        with pytest.raises(Exception, match="Velt"):
            eraser.round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "telling"
    assert list(api.services.vault.scan()) == []
    velt.mend()
    assert done(eraser, resolver_environment, what)["certificate"]


@pytest.mark.parametrize(("name", "goes"), [("ben kenobi", True), ("BEN  Kenobi", True), ("ben", True)])
@pytest.mark.parametrize("searched", [True, False])
def test_a_name_in_a_text_counts_when_that_was_asked_for(  # noqa: PLR0917
    api: Api, eraser: Eraser, resolver_environment: Environment, name: str, goes: bool, searched: bool
) -> None:
    about = {"actionUser": {"userId": "zoe"}, "notifyUsers": [{"userId": "cleo"}]}
    plain = {"displayHeadlineMessageTemplate": "x", "displayHeadlineMessageTemplateData": {}}
    api.add(**about, **plain, displayBodyMessage="Thanks to Ben Kenobi, all is well")
    api.add(**about, **plain, notificationId="n-2", displayBodyMessage="Benno went bending")
    what = order("nobody", mentioning=(name,) if searched else ())
    done(eraser, resolver_environment, what)
    left = {held.notification for held in api.services.vault.scan()}
    assert left == ({"n-2"} if searched and goes else {"n-1", "n-2"})


def test_an_order_that_is_not_known_is_not_found(eraser: Eraser) -> None:
    assert Erasures(eraser.orders).find("0" * 32) is None
