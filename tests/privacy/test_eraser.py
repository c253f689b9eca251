"""An erasure removes content and commands, then data at Velt, and ends with a certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.cli import main
from resolver.config import load
from resolver.deadline import Deadline
from resolver.errors import AuditUnavailable, StoreUnavailable
from resolver.privacy.eraser import Eraser
from resolver.privacy.erasure_request import ErasureRequest
from resolver.store.command import Command, Entry, Kind
from resolver.store.keyspace import ERASURES
from resolver.store.record import Record
from resolver.velt.client import VeltEndpoint
from resolver.wiring import build_stores
from tests.erasing import continued, done, erasure_request, erasures_of, filed
from tests.support import Api, Velt, everything_in, key, keys_of

JSON = dict[str, Any]
Environment = dict[str, str]
MakeEraser = Callable[..., Eraser]


def test_certificate_is_issued_after_velt_has_all_commands(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api.add(notificationId="goes")
    api.add(notificationId="stays", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    erasures = filed(eraser, what := erasure_request("ben"))
    eraser.round()
    found = erasures.find(what.id)
    assert found
    assert (found["status"], found["counts"]["removed"], found["counts"]["cut"]) == ("telling", 1, 1)
    certificate = done(eraser, resolver_environment, what)["certificate"]["certificate"]
    assert certificate["velt"] == {"told": 2, "refused": 0, "userData": "not asked for"}
    assert certificate["counts"] == {"lookedAt": 2, "removed": 1, "cut": 1, "commands": 0, "unreadable": 0}
    assert [item["id"] for item in velt.inbox("ben") if item["forYou"]] == []


def test_erasure_leaves_no_name_in_redis_or_the_certificate(
    api: Api, eraser: Eraser, redis: Redis, resolver_environment: Environment
) -> None:
    api.add(notifyUsers=[{"userId": "who-will-be-erased"}])
    what = erasure_request("who-will-be-erased", emails=("Her.Address@example.com",), organizations=("acme",))
    filed(eraser, what)
    while_under_way = everything_in(redis)
    found = done(eraser, resolver_environment, what)
    for text in (while_under_way, everything_in(redis), json.dumps(found).encode()):
        assert b"who-will-be-erased" not in text
        assert b"her.address" not in text.lower()
    assert redis.hgetall(ERASURES) == {}


@pytest.mark.parametrize("kind", ["n", "c", "e", "d"])
def test_erasure_skips_keys_that_this_service_never_writes(
    api: Api, eraser: Eraser, redis: Redis, resolver_environment: Environment, kind: str
) -> None:
    api.add(notificationId="goes")
    odd = b"{p00}" + kind.encode()
    match kind:
        case "n":
            redis.set(odd + b":\xff\xfe", b"1")
        case "c":
            redis.hset((odd + b":\xff\xfe"), mapping={"h": "0"})
        case "e" | "d":
            redis.hset(odd, mapping={b"\xff\xfe": b"1"})
    filed(eraser, what := erasure_request("ben"))
    assert done(eraser, resolver_environment, what)["certificate"]["certificate"]["counts"]["removed"] == 1
    assert api.read("goes") == {}


def test_outbox_drop_keeps_commands_of_an_open_erasure(
    make_api: Callable[..., Api], resolver_environment: Environment, eraser: Eraser
) -> None:
    """Otherwise the certificate would say that Velt got the commands."""
    outbox = build_stores(load(resolver_environment)).outbox
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notificationId="goes")
    api.add(notificationId="stays", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    for queue in outbox.due():
        claimed = outbox.claim(queue)
        assert claimed
        outbox.complete(claimed)
    filed(eraser, erasure_request("ben"))
    eraser.round()
    names = [entry.name for entry in outbox.waiting.all()]
    assert len(names) == 2
    done = CliRunner().invoke(main, ["outbox", "drop", *names], env=resolver_environment)
    assert done.output.count("belongs to an open erasure, and stays") == 2
    for line in outbox.due():
        claimed = outbox.claim(line)
        assert claimed
        outbox.dead_letter(claimed, "INVALID_ARGUMENT")
    dead = CliRunner().invoke(main, ["outbox", "drop", "--all"], env=resolver_environment)
    assert dead.output.endswith("0 dropped\n")
    assert outbox.depth().dead == 2


def test_second_erasure_of_a_person_finds_nothing(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    api.add()
    done(eraser, resolver_environment, erasure_request("ben"))
    assert done(eraser, resolver_environment, erasure_request("ben"))["counts"]["removed"] == 0


def test_eraser_continues_without_counting_twice_when_another_process_stopped(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    for number in range(1200):
        api.services.store.put(record(f"n-{number}"))
    first, second = make_eraser(), make_eraser()
    erasures = filed(first, what := erasure_request("ben"))
    steps = first.advance(what.id)
    next(steps)
    second.round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "erasing", "the first has it still"
    first.lease.release(first.me)
    found = done(second, resolver_environment, what)
    assert found["counts"]["removed"] == 1200
    assert list(api.services.store.scan()) == []


def record(name: str) -> Record:
    return Record("acme", name, "d", "ana", ("ben",), False, content=b'{"displayBodyMessage":"hello"}')


def test_eraser_erases_no_record_when_the_audit_trail_fails(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    api.add()
    eraser = make_eraser(RESOLVER_AUDIT_LOG="/dev/full")
    filed(eraser, what := erasure_request("ben"))
    with pytest.raises(AuditUnavailable):
        list(eraser.advance(what.id))
    assert len(list(api.services.store.scan())) == 1


def test_eraser_rewrites_no_command_when_the_audit_trail_fails(
    make_api: Callable[..., Api], make_eraser: MakeEraser, redis: Redis
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    forget_records(redis)
    before = list(api.services.outbox.commands())
    eraser = make_eraser(RESOLVER_AUDIT_LOG="/dev/full")
    filed(eraser, what := erasure_request("ben"))
    with pytest.raises(AuditUnavailable):
        list(eraser.advance(what.id))
    assert list(api.services.outbox.commands()) == before


def forget_records(redis: Redis) -> None:
    """As if their time were over; their commands wait still."""
    for name in keys_of(redis, "{p*n:*"):
        redis.delete(name)


def test_eraser_removes_at_velt_what_a_worker_is_sending_meanwhile(
    make_api: Callable[..., Api], eraser: Eraser, redis: Redis, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(actionUser={"userId": "ben"}, notifyUsers=[{"userId": "cleo"}])
    forget_records(redis)
    outbox = api.services.outbox
    (queue,) = outbox.due()
    claimed = outbox.claim(queue)
    assert claimed
    assert claimed.command
    erasures = filed(eraser, what := erasure_request("ben"))
    eraser.round()
    api.services.velt.post(VeltEndpoint.ADD, claimed.command.data, Deadline.after(2))
    outbox.complete(claimed)
    assert [item["id"] for item in velt.inbox("cleo")] == ["n-1"]
    eraser.round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "telling", "Velt has it still"
    done(eraser, resolver_environment, what)
    assert velt.inbox("cleo") == []


def test_erasure_that_fails_does_not_block_others(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment, velt: Velt
) -> None:
    api.add(notifyUsers=[{"userId": "cleo"}])
    velt.break_with(status=503)
    stuck, other = make_eraser(), make_eraser()
    first = ErasureRequest("a" * 32, "dpo", "2020-01-01T00:00:00Z", users=("zoe",), velt_user_data=True)
    filed(stuck, first)
    filed(stuck, what := erasure_request("cleo"))
    for _ in range(2):
        stuck.round()
    assert list(api.services.store.scan()) == []
    assert list(other.advance(what.id)), "the right to work on them was given back"


@pytest.mark.parametrize(
    ("status", "word"), [(429, "RESOURCE_EXHAUSTED"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")]
)
def test_user_data_deletion_waits_when_velt_is_busy_or_refuses_the_credential(
    status: int, word: str, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    velt.break_with(status=status, errorStatus=word, path="/v2/users/data/delete")
    erasures = filed(eraser, what := erasure_request("ben", velt_user_data=True))
    for _ in range(3):
        continued(eraser).round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "telling"
    velt.mend()
    velts = done(eraser, resolver_environment, what)["certificate"]["certificate"]["velt"]
    assert [job["outcome"] for job in velts["userData"]] == ["completed"]


def test_eraser_does_not_repeat_an_erasure_when_its_state_is_outdated(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    api.add()
    slow, quick = make_eraser(), make_eraser()
    erasures = filed(quick, what := erasure_request("ben"))
    steps = slow.advance(what.id)
    found = done(quick, resolver_environment, what)
    assert list(steps) == []
    assert erasures.find(what.id) == found


def test_eraser_saves_nothing_when_it_lost_the_lease(
    make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    slow, quick = make_eraser(), make_eraser()
    erasures = filed(quick, what := erasure_request("ben"))
    steps = slow.advance(what.id)
    next(steps, None)
    slow.lease.release(slow.me)
    found = done(quick, resolver_environment, what)
    with pytest.raises(StoreUnavailable):
        slow.erasure_store.save(what.id, what.state(), slow.me)
    slow.erasure_store.reseal()
    assert erasures.find(what.id) == found


def test_eraser_counts_unreadable_commands(
    make_api: Callable[..., Api], eraser: Eraser, resolver_environment: Environment
) -> None:
    other = make_api(RESOLVER_MASTER_KEYS=f"k2:{key(2)}").services.store
    other.enqueue("acme", "n-1", Entry(Command(Kind.REMOVE, "n-1", {"organizationId": "acme"})))
    filed(eraser, what := erasure_request("ben"))
    *_, last = eraser.advance(what.id)
    assert last.unreadable == 1


def test_reading_an_unreadable_erasure_raises(make_eraser: MakeEraser) -> None:
    filed(make_eraser(RESOLVER_MASTER_KEYS=f"k2:{key(2)}"), what := erasure_request("ben"))
    with pytest.raises(StoreUnavailable):
        erasures_of(make_eraser()).find(what.id)


def test_eraser_erases_the_current_version_when_a_record_changes_meanwhile(
    api: Api, eraser: Eraser, resolver_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    note = eraser.erasure_store.touch

    def meddle(id_: str, effects: Any) -> None:
        note(id_, effects)
        api.add(notifyUsers=[{"userId": "ben"}, {"userId": "zoe"}], displayBodyMessage="later")

    monkeypatch.setattr(eraser.erasure_store, "touch", meddle)
    done(eraser, resolver_environment, erasure_request("ben"))
    (held,) = api.services.store.scan()
    assert held.audience == ("zoe",)
    assert held.parsed_content()["displayBodyMessage"] == "later"


def test_eraser_audits_every_changed_record(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    for organization in ("acme", "zeta"):
        api.add(organizationId=organization)
    eraser = make_eraser(RESOLVER_AUDIT_LOG=str(tmp_path / "audit.log"))
    found = done(eraser, resolver_environment, what := erasure_request("ben"))
    lines = list(map(json.loads, (tmp_path / "audit.log").read_text().splitlines()))
    erased = [line for line in lines if line["action"] == "erase"]
    assert {(line["organization"], *line["ids"]) for line in erased} == {("acme", "n-1"), ("zeta", "n-1")}
    (last,) = [line for line in lines if line["action"] == "erased"]
    head = found["certificate"]["certificate"]["audit"]
    assert (last["chain"], last["seq"], last["hash"]) == (head["chain"], head["seq"], head["hash"])
    assert {line["erasure"] for line in (*erased, last)} == {what.id}


def test_user_data_at_velt_is_deleted_only_on_request(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api.add()
    done(eraser, resolver_environment, erasure_request("zoe"))
    assert not velt.sent("/v2/users/data/delete")
    users = tuple(f"user-{number}" for number in range(31))
    what = erasure_request(*users, organizations=("acme",), velt_user_data=True)
    certificate = done(eraser, resolver_environment, what)["certificate"]["certificate"]
    sent = velt.sent("/v2/users/data/delete")
    assert [len(body["userIds"]) for body in sent] == [30, 1], "of more, Velt leaves out the rest silently"
    assert {*sent[0]["userIds"], *sent[1]["userIds"]} == set(users)
    assert all(body["organizationIds"] == ["acme"] for body in sent)
    outcomes = [job["outcome"] for job in certificate["velt"]["userData"]]
    assert outcomes == ["completed", "completed"]
    assert len(velt.sent("/v2/users/data/delete/status")) == 4


def test_certificate_shows_that_velt_refused_to_delete_user_data(
    api: Api, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    refusal = {"status": 400, "errorStatus": "FAILED_PRECONDITION", "path": "/v2/users/data/delete"}
    velt.break_with(**refusal)
    found = done(eraser, resolver_environment, erasure_request("ben", velt_user_data=True))
    (job,) = found["certificate"]["certificate"]["velt"]["userData"]
    assert job["outcome"] == "FAILED_PRECONDITION"


def test_content_is_erased_without_certificate_while_velt_is_down(
    make_api: Callable[..., Api], eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    velt.break_with(status=503)
    erasures = filed(eraser, what := erasure_request("ben", velt_user_data=True))
    for _ in range(2):
        eraser.round()
    found = erasures.find(what.id)
    assert found
    assert found["status"] == "telling"
    assert list(api.services.store.scan()) == []
    velt.mend()
    assert done(eraser, resolver_environment, what)["certificate"]


@pytest.mark.parametrize(("name", "goes"), [("ben kenobi", True), ("BEN  Kenobi", True), ("ben", True)])
@pytest.mark.parametrize("searched", [True, False])
def test_name_in_a_text_is_erased_only_on_request(  # noqa: PLR0917
    api: Api, eraser: Eraser, resolver_environment: Environment, name: str, goes: bool, searched: bool
) -> None:
    about = {"actionUser": {"userId": "zoe"}, "notifyUsers": [{"userId": "cleo"}]}
    plain = {"displayHeadlineMessageTemplate": "x", "displayHeadlineMessageTemplateData": {}}
    api.add(**about, **plain, displayBodyMessage="Thanks to Ben Kenobi, all is well")
    api.add(**about, **plain, notificationId="n-2", displayBodyMessage="Benno went bending")
    what = erasure_request("nobody", mentioning=(name,) if searched else ())
    done(eraser, resolver_environment, what)
    left = {held.notification for held in api.services.store.scan()}
    assert left == ({"n-2"} if searched and goes else {"n-1", "n-2"})


def test_find_returns_none_for_an_unknown_erasure(eraser: Eraser) -> None:
    assert erasures_of(eraser).find("0" * 32) is None
