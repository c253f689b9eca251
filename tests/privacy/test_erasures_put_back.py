"""An attacker who can write to Redis but has no key can only put back former data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from resolver.privacy.eraser import Eraser
from resolver.privacy.erasure_request import CLOCK_MARGIN_MS, ErasureRequest
from resolver.store.command import Command, Entry, Kind
from resolver.store.keyspace import CERTIFICATES, ERASURES, KNOWN_ERASURES, touched_by
from tests.boundaries import boundaries
from tests.cli.test_rotation import drained
from tests.erasing import done, erasure_request, erasures_of, filed
from tests.support import Api, Velt, everything_in, keys_of

Environment = dict[str, str]
MakeEraser = Callable[..., Eraser]
LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture
def finished(
    request: pytest.FixtureRequest,
    api: Api,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
) -> tuple[Eraser, ErasureRequest, bytes]:
    """A finished erasure, and its request as it was in Redis before."""
    if request.param == "with a directory":
        request.getfixturevalue("kept")
    api.add()
    filed(eraser := make_eraser(), what := erasure_request("ben"))
    sealed = redis.hget(ERASURES, what.id)
    assert isinstance(sealed, bytes)
    done(eraser, resolver_environment, what)
    return eraser, what, sealed


@pytest.mark.parametrize("finished", ["with a directory", "without one"], indirect=True)
@pytest.mark.parametrize("cleared", [(), (CERTIFICATES,), (CERTIFICATES, KNOWN_ERASURES)])
def test_erasure_that_is_put_back_reaches_no_later_notification(
    finished: tuple[Eraser, ErasureRequest, bytes],
    cleared: tuple[str, ...],
    api: Api,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This holds whatever the attacker deletes: Redis's certificates, or its list of known erasures."""
    eraser, what, sealed = finished
    later = time.time() + 2 * CLOCK_MARGIN_MS / 1000
    monkeypatch.setattr("resolver.notifications.add.time.time", lambda: later)
    api.add(notificationId="later")
    redis.hset(ERASURES, what.id, sealed)
    for name in cleared:
        redis.delete(name)
    with capture_logs() as logs:
        eraser.round()
    assert [held.notification for held in api.services.store.scan()] == ["later"]
    if eraser.certificates or KNOWN_ERASURES not in cleared:
        assert [(line["event"], line["erasure"]) for line in logs] == [("erasure_refused", what.id)]


@pytest.mark.parametrize("kind", list(Kind))
def test_erasure_reaches_no_command_made_long_after_it(kind: Kind, api: Api, make_eraser: MakeEraser) -> None:
    data = {"organizationId": "acme", "userId": "ben", "notifyUsers": [{"userId": "ben"}]}
    command = Command(kind, "n-1", data)
    api.services.store.enqueue("acme", "n-1", Entry(command))
    early = replace(erasure_request("ben"), asked=LONG_AGO)
    filed(eraser := make_eraser(), early)
    list(eraser.advance(early.id))
    assert list(api.services.outbox.commands()) == [(kind, data)]


@pytest.mark.single_server
def test_interrupted_erasure_ends_with_the_kept_certificate(
    finished_to_its_last_step: ErasureRequest, eraser: Eraser, kept: Path
) -> None:
    """The process ended after it had written the certificate to the disk. This is no request that was put
    back."""
    with capture_logs() as logs:
        eraser.round()
    found = erasures_of(eraser).find(finished_to_its_last_step.id)
    assert found
    assert found["certificate"] == json.loads((kept / f"{found['erasureId']}.json").read_bytes())
    assert logs == []


@pytest.fixture
def finished_to_its_last_step(
    api: Api, make_eraser: MakeEraser, redis: Redis, kept: Path, resolver_environment: Environment
) -> ErasureRequest:
    """An erasure whose certificate is on the disk and not yet in Redis."""
    api.add()
    with boundaries(resolver_environment["REDIS_URL"]) as between:
        filed(first := make_eraser(REDIS_URL=between.url), what := erasure_request("ben"))
        list(first.advance(what.id))
        drained(resolver_environment)
        before: list[bytes] = []

        def keep() -> None:
            if (kept / f"{what.id}.json").exists() and not before:
                sealed = redis.hget(ERASURES, what.id)
                assert isinstance(sealed, bytes)
                before.append(sealed)

        between.arm(dict.fromkeys(range(1, 1000), keep))
        first.round()
    redis.hset(ERASURES, what.id, before[0])
    redis.hdel(CERTIFICATES, what.id)
    return what


def test_registration_that_is_put_back_is_not_sent_when_its_record_is_gone(
    make_api: Callable[..., Api], redis: Redis, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    (name,) = keys_of(redis, "{p*c:*")
    copy = redis.hget(name, "0")
    assert isinstance(copy, bytes)
    api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]})
    redis.hset(name, "0", copy)
    drained(resolver_environment)
    assert velt.sent("/v2/notifications/add") == []


def test_dump_taken_during_an_erasure_links_no_records(api: Api, eraser: Eraser, redis: Redis) -> None:
    """The dump lists the notifications that the erasure touched, but readable with the keys alone."""
    for number in range(3):
        api.add(notificationId=f"n-{number}")
    names = [name.decode() for name in keys_of(redis, "{p*n:*")]
    filed(eraser, what := erasure_request("ben"))
    list(eraser.advance(what.id))
    kept = redis.dump(touched_by(what.id))
    assert kept
    dump = everything_in(redis)
    for name in names:
        assert name.partition(":")[2].encode() not in kept
    assert b"removed" not in dump
    assert set(eraser.erasure_store.touched(what.id)) == set(names)
