"""A delete without ids that was interrupted after Velt was asked is finished by a worker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from redis import Redis

from resolver import clock
from resolver.cli import main
from resolver.config import load
from resolver.notifications.finish_deletions import FinishDeletions
from resolver.outbox.queue import claim_of
from resolver.privacy.eraser import Eraser
from resolver.store.command import Command, Kind
from resolver.store.keyspace import UNFINISHED_DELETIONS
from resolver.wiring import build_finish_deletions, build_stores, build_trail
from tests.erasing import done, erasure_request
from tests.notifications.conftest import Working, empty
from tests.support import BACKEND, Api, Velt, error_of, key
from tests.system.conftest import RESOLVER, plain_environment
from tests.waiting import until

SCOPE = {"organizationId": "acme", "documentId": "doc-1"}
MakeFinish = Callable[..., FinishDeletions]


@pytest.fixture
def make_finish(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[MakeFinish]:
    trails = []

    def make(seconds_later: int = 60) -> FinishDeletions:
        settings = load({**resolver_environment, "RESOLVER_AUDIT_LOG": str(tmp_path / "audit.log")})
        stores = build_stores(settings)
        trails.append(build_trail(settings, stores))
        finish = build_finish_deletions(stores, trails[-1])
        finish.now = lambda: clock.milliseconds() + seconds_later * 1000
        return finish

    yield make
    for trail in trails:
        trail.close()


def interrupted(api: Api, velt: Velt, **filters: str) -> None:
    """Velt deletes, and its answer is lost."""
    velt.break_with(drop="after", count=1, path="/v2/notifications/delete")
    reply = api.velt("notifications/delete", {**SCOPE, **filters})
    assert error_of(reply) == (503, "UNAVAILABLE")


def test_interrupted_delete_without_ids_is_finished_here_and_at_velt(
    api: Api, velt: Velt, make_finish: MakeFinish, redis: Redis
) -> None:
    for n, document in enumerate(("doc-1", "doc-1", "doc-2")):
        api.add(notificationId=f"n-{n}", documentId=document)
    interrupted(api, velt)
    assert api.read("n-0", "n-1")
    make_finish().round()
    assert api.read("n-0", "n-1", "n-2").keys() == {"n-2"}
    assert not redis.exists(UNFINISHED_DELETIONS)
    assert [item["id"] for item in velt.inbox("ben")] == ["n-2"]


def test_finished_delete_removes_at_velt_what_the_lost_request_did_not(
    api: Api, velt: Velt, make_finish: MakeFinish, working: Working
) -> None:
    api.add()
    velt.break_with(drop="before", count=1)
    assert error_of(api.velt("notifications/delete", SCOPE)) == (503, "UNAVAILABLE")
    make_finish().round()
    assert api.read("n-1") == {}
    with working():
        until(lambda: empty(api.services.outbox))
    assert velt.inbox("ben") == []


def test_finished_delete_for_one_person_keeps_it_for_the_others(
    api: Api, velt: Velt, make_finish: MakeFinish
) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}], notifyAll=False)
    interrupted(api, velt, userId="ben")
    make_finish().round()
    assert api.read("n-1", user="ben") == {}
    assert api.read("n-1", user="cleo")


def test_finished_delete_spares_what_was_added_after_its_request(
    api: Api, velt: Velt, make_finish: MakeFinish
) -> None:
    interrupted(api, velt)
    asked = clock.milliseconds()
    until(lambda: clock.milliseconds() > asked)
    api.add(notificationId="n-new")
    make_finish().round()
    assert api.read("n-new")


def test_delete_is_not_finished_by_others_while_its_request_may_still_run(
    api: Api, velt: Velt, make_finish: MakeFinish, redis: Redis
) -> None:
    api.add()
    interrupted(api, velt)
    make_finish(seconds_later=0).round()
    assert api.read("n-1")
    assert redis.hlen(UNFINISHED_DELETIONS) == 1


def test_delete_that_velt_refuses_leaves_nothing_to_finish(api: Api, velt: Velt, redis: Redis) -> None:
    api.add()
    velt.break_with(status=400, errorStatus="INVALID_ARGUMENT", count=1)
    assert error_of(api.velt("notifications/delete", SCOPE)) == (400, "INVALID_ARGUMENT")
    assert not redis.exists(UNFINISHED_DELETIONS)


def test_finished_delete_is_audited_in_the_name_of_the_caller_and_the_request(
    api: Api, velt: Velt, make_finish: MakeFinish, tmp_path: Path
) -> None:
    api.add()
    velt.break_with(drop="after", count=1, path="/v2/notifications/delete")
    headers = {**BACKEND, "x-request-id": "request-that-was-lost"}
    api.post("/v2/notifications/delete", {"data": SCOPE}, headers)
    make_finish().round()
    lines = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    (line,) = [line for line in lines if line.get("action") == "delete"]
    assert line["who"]["kind"] == "backend"
    assert line["request"] == "request-that-was-lost"
    assert (line["ids"], line["finished"]) == (["n-1"], True)


def test_erasure_drops_interrupted_deletions_of_the_person(
    api: Api,
    velt: Velt,
    make_finish: MakeFinish,
    make_eraser: Callable[..., Eraser],
    resolver_environment: dict[str, str],
) -> None:
    """Finished later, one would write the person's id into records again."""
    api.add(notifyAll=True, notifyUsers=[{"userId": "cleo"}], displayHeadlineMessageTemplateData={})
    interrupted(api, velt, userId="ben")
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    make_finish().round()
    (held,) = api.services.store.scan()
    assert held.dismissed_by == ()
    assert list(api.services.outbox.commands()) == []


def test_erasure_of_another_person_keeps_an_interrupted_deletion(
    api: Api,
    velt: Velt,
    make_finish: MakeFinish,
    make_eraser: Callable[..., Eraser],
    resolver_environment: dict[str, str],
) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}], notifyAll=False)
    interrupted(api, velt, userId="ben")
    done(make_eraser(), resolver_environment, erasure_request("zoe"))
    make_finish().round()
    assert api.read("n-1", user="ben") == {}


def test_refused_add_does_not_bring_back_what_was_deleted(
    api: Api, velt: Velt, make_finish: MakeFinish
) -> None:
    api.add()
    interrupted(api, velt)
    asked = clock.milliseconds()
    until(lambda: clock.milliseconds() > asked)
    store, outbox = api.services.store, api.services.outbox
    (before,) = store.scan()
    again = replace(before, created=clock.milliseconds())
    command = Command(Kind.REGISTER, "n-1", {"organizationId": "acme"})
    written = store.put(again, api.services.add.sender.entry(command, inline=True))
    make_finish().round()
    assert outbox.roll_back(claim_of(written, command))
    assert list(store.scan()) == []
    assert [kind for kind, _ in outbox.commands()] == [Kind.REMOVE]


def test_delete_stays_unfinished_while_records_do_not_open(
    make_api: Callable[..., Api], velt: Velt, make_finish: MakeFinish, redis: Redis
) -> None:
    api = make_api(RESOLVER_MASTER_KEYS=f"k1:{key(1)},k2:{key(2)}")
    make_api(RESOLVER_MASTER_KEYS=f"k2:{key(2)},k1:{key(1)}").add(notificationId="n-2")
    interrupted(api, velt)
    make_finish().round()
    assert redis.hlen(UNFINISHED_DELETIONS) == 1


@pytest.mark.single_server
def test_delete_without_ids_makes_room_in_a_full_redis(api: Api, velt: Velt, redis: Redis) -> None:
    api.add()
    redis.config_set("maxmemory", 1)
    try:
        reply = api.velt("notifications/delete", SCOPE)
    finally:
        redis.config_set("maxmemory", 0)
    assert reply.status_code == 200, reply.data
    assert api.read("n-1") == {}


def test_repeated_deletes_are_finished_together(
    api: Api, velt: Velt, make_finish: MakeFinish, redis: Redis, tmp_path: Path
) -> None:
    api.add()
    interrupted(api, velt)
    interrupted(api, velt)
    make_finish().round()
    assert (api.read("n-1"), redis.exists(UNFINISHED_DELETIONS)) == ({}, 0)
    lines = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    assert len([line for line in lines if line.get("finished")]) == 1


def test_rotation_reseals_unfinished_deletions(
    api: Api, velt: Velt, redis: Redis, resolver_environment: dict[str, str]
) -> None:
    interrupted(api, velt)
    rotated = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)},k1:{key(1)}"}
    used = "1 unfinished deletion"
    assert f"k1: {used}" in CliRunner().invoke(main, ["keys", "status"], env=rotated).output
    assert CliRunner().invoke(main, ["keys", "rotate"], env=rotated).exit_code == 0
    assert f"k2: {used}" in CliRunner().invoke(main, ["keys", "status"], env=rotated).output
    new_alone = load({**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)}"})
    (due,) = build_stores(new_alone).unfinished_deletions.due(clock.milliseconds() + 60_000).values()
    assert due.filters == SCOPE


def test_filters_of_an_unfinished_deletion_are_sealed(api: Api, velt: Velt, redis: Redis) -> None:
    interrupted(api, velt, userId="ben")
    ((_, sealed),) = redis.hgetall(UNFINISHED_DELETIONS).items()
    assert not [name for name in (b"acme", b"doc-1", b"ben") if name in sealed]


@pytest.mark.system
def test_worker_process_finishes_an_interrupted_delete(
    make_api: Callable[..., Api], velt: Velt, redis: Redis, resolver_environment: dict[str, str]
) -> None:
    api = make_api(RESOLVER_DEADLINE_MS="1000")
    api.add()
    interrupted(api, velt)
    worker = subprocess.Popen([*RESOLVER, "worker"], env=plain_environment(resolver_environment))
    try:
        until(lambda: not redis.exists(UNFINISHED_DELETIONS), seconds=40)
    finally:
        worker.terminate()
        worker.wait(20)
    assert api.read("n-1") == {}
