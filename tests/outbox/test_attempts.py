"""Commands that Velt fails delay no others, and are dead-lettered."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from redis import Redis

from resolver.outbox.queue import Outbox
from tests.notifications.conftest import Working, change, empty
from tests.support import JSON, Api, Velt
from tests.waiting import until

ADD, UPDATE = (f"/v2/notifications/{name}" for name in ("add", "update"))


def test_command_that_always_fails_does_not_delay_the_others(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, redis: Redis
) -> None:
    velt.break_with(status=500, path=UPDATE)
    deferred.add(notificationId="n-1")
    with working():
        until(lambda: empty(outbox))
        change(deferred, readByUserIds=["ben"])
        for n in range(40):
            deferred.add(notificationId=f"healthy-{n}")
        until(lambda: len(velt.inbox("ben")) == 41, seconds=20)
    assert outbox.depth().dead == 0


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 422, "errorStatus": "UNPROCESSABLE"}, {"malformed": True}]
)
def test_a_command_that_velt_fails_at_while_it_accepts_others_becomes_a_dead_letter(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working, fault: JSON
) -> None:
    velt.break_with(path=UPDATE, **fault)
    deferred.add()
    with working(RESOLVER_OUTBOX_MAX_ATTEMPTS="2"):
        until(lambda: empty(outbox))
        change(deferred, readByUserIds=["ben"])
        others = itertools.count()

        def is_dead() -> bool:
            deferred.add(notificationId=f"other-{next(others)}")
            return outbox.depth().dead == 1

        until(is_dead, seconds=20)
        until(lambda: empty(outbox))
    (dead,) = outbox.dead_letters.all()
    assert dead.reason.startswith("Velt failed at it 2 times: ")
    assert len(velt.ledger(UPDATE)) == 3  # the first one doesn't count: nothing was accepted before it


def test_attempt_counts_when_velt_accepts_calls_of_other_processes(
    make_api: Callable[..., Api], velt: Velt, outbox: Outbox, working: Working
) -> None:
    """Good commands are sent inline, by web processes: the worker sees the bad one alone."""
    inline = make_api()
    deferred = make_api(RESOLVER_REGISTRATION="deferred")
    velt.break_with(path=UPDATE, status=500)
    inline.add()
    change(deferred, readByUserIds=["ben"])
    with working(RESOLVER_OUTBOX_MAX_ATTEMPTS="2"):
        others = itertools.count()

        def is_dead() -> bool:
            inline.add(notificationId=f"other-{next(others)}")
            return outbox.depth().dead == 1

        until(is_dead, seconds=20)
    assert len(velt.ledger(UPDATE)) == 3


def test_no_attempt_counts_while_velt_accepts_nothing(
    deferred: Api, velt: Velt, outbox: Outbox, working: Working
) -> None:
    velt.break_with(status=500)
    for n in range(3):
        deferred.add(notificationId=f"n-{n}")
    with working(RESOLVER_OUTBOX_MAX_ATTEMPTS="1"):
        until(lambda: len(velt.ledger(ADD)) >= 4, seconds=20)
        velt.mend()
        until(lambda: empty(outbox), seconds=20)
    assert outbox.depth().dead == 0
    assert {item["id"] for item in velt.inbox("ben")} == {f"n-{n}" for n in range(3)}


def test_bad_commands_do_not_open_the_circuit_breaker_while_velt_accepts_others(
    make_api: Callable[..., Api], velt: Velt
) -> None:
    api = make_api()
    api.add()
    velt.break_with(path=UPDATE, status=500)
    change(api, readByUserIds=["ben"])
    assert api.add(notificationId="n-2").get_json()["result"]["data"]["registration"] == "registered"
