"""outbox: what waits, what was given up and why, and putting it in line again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.outbox.queue import Outbox
from resolver.services import build_stores
from resolver.settings import load
from tests.support import Api, keys_of

Env = dict[str, str]


def run(env: Env, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["outbox", *arguments], env=env)


@pytest.fixture
def outbox(resolver_environment: Env) -> Outbox:
    return build_stores(load(resolver_environment)).outbox


@pytest.fixture
def given_up(make_api: Callable[..., Api], outbox: Outbox) -> Outbox:
    """Two registrations among the dead."""
    api = make_api(RESOLVER_REGISTRATION="deferred")
    for n in range(2):
        api.add(notificationId=f"n-{n}")
    for line in outbox.due():
        claimed = outbox.claim(line)
        assert claimed
        outbox.give_up(claimed, "INVALID_ARGUMENT")
    return outbox


def listed(env: Env) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(run(env, "dead", "--json").output)
    return found


def test_the_status_is_the_depth_and_whether_anybody_is_at_it(
    given_up: Outbox, resolver_environment: Env
) -> None:
    given_up.beat()
    status = json.loads(run(resolver_environment, "status", "--json").output)
    assert status == {"waiting": 0, "due": 0, "oldest_ms": 0, "dead": 2, "worker": True}


def test_the_dead_are_listed_with_their_reason_and_no_content(
    given_up: Outbox, resolver_environment: Env
) -> None:
    dead = listed(resolver_environment)
    assert {entry["notification"] for entry in dead} == {"n-0", "n-1"}
    assert {(entry["kind"], entry["organization"], entry["reason"]) for entry in dead} == {
        ("register", "acme", "INVALID_ARGUMENT")
    }
    assert "CANARY" not in run(resolver_environment, "dead").output


def test_retry_puts_one_in_line_again(given_up: Outbox, resolver_environment: Env) -> None:
    name = listed(resolver_environment)[0]["name"]
    assert run(resolver_environment, "retry", name).output == "1 in line again\n"
    assert (given_up.depth().due, given_up.depth().dead) == (1, 1)


def test_drop_forgets_and_leaves_content(given_up: Outbox, resolver_environment: Env, api: Api) -> None:
    assert run(resolver_environment, "drop", "--all").output == "2 dropped\n"
    assert (given_up.depth().due, given_up.depth().dead) == (0, 0)
    assert api.read("n-0", "n-1").keys() == {"n-0", "n-1"}


def test_what_cannot_be_opened_stays(given_up: Outbox, resolver_environment: Env, redis: Redis) -> None:
    for name in keys_of(redis, "{p*d"):
        for field in redis.hkeys(name):
            redis.hset(name, field, b"garbage")
    done = run(resolver_environment, "retry", "--all")
    assert "cannot be opened" in done.output
    assert given_up.depth().dead == 2


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_which_ones_must_be_said(given_up: Outbox, resolver_environment: Env, command: str) -> None:
    assert run(resolver_environment, command).exit_code == 2
    assert run(resolver_environment, command, "{p00}:x:0").exit_code == 1
    assert given_up.depth().dead == 2
