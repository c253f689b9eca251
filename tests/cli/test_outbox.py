"""`resolver outbox`: waiting commands, dead letters with their reasons, and retries."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.config import load
from resolver.outbox.queue import Outbox
from resolver.outbox.waiting import Dropped, WaitingCommand, WaitingCommands
from resolver.wiring import build_stores
from tests.support import BACKEND, Api, keys_of, notification

Env = dict[str, str]


def run(env: Env, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["outbox", *arguments], env=env)


@pytest.fixture
def outbox(resolver_environment: Env) -> Outbox:
    return build_stores(load(resolver_environment)).outbox


@pytest.fixture
def given_up(make_api: Callable[..., Api], outbox: Outbox) -> Outbox:
    """Two dead-lettered adds."""
    api = make_api(RESOLVER_REGISTRATION="deferred")
    for n in range(2):
        api.add(notificationId=f"n-{n}")
    for queue in outbox.due():
        claimed = outbox.claim(queue)
        assert claimed
        outbox.dead_letter(claimed, "INVALID_ARGUMENT")
    return outbox


def listed(env: Env) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(run(env, "dead", "--json").output)
    return found


def test_outbox_status_shows_depth_and_worker(given_up: Outbox, resolver_environment: Env) -> None:
    given_up.heartbeat()
    status = json.loads(run(resolver_environment, "status", "--json").output)
    assert status == {"waiting": 0, "due": 0, "oldest_ms": 0, "dead": 2, "worker": True}


def test_outbox_dead_lists_reasons_without_content(given_up: Outbox, resolver_environment: Env) -> None:
    dead = listed(resolver_environment)
    assert {entry["notification"] for entry in dead} == {"n-0", "n-1"}
    assert {(entry["kind"], entry["organization"], entry["reason"]) for entry in dead} == {
        ("register", "acme", "INVALID_ARGUMENT")
    }
    assert "CANARY" not in run(resolver_environment, "dead").output


def test_outbox_retry_queues_a_dead_letter_again(given_up: Outbox, resolver_environment: Env) -> None:
    name = listed(resolver_environment)[0]["name"]
    assert run(resolver_environment, "retry", name).output == "1 queued again\n"
    assert (given_up.depth().due, given_up.depth().dead) == (1, 1)


def test_outbox_drop_discards_dead_letters_and_keeps_content(
    given_up: Outbox, resolver_environment: Env, api: Api
) -> None:
    assert run(resolver_environment, "drop", "--all").output == "2 dropped\n"
    assert (given_up.depth().due, given_up.depth().dead) == (0, 0)
    assert api.read("n-0", "n-1").keys() == {"n-0", "n-1"}


def test_outbox_retry_keeps_unreadable_dead_letters(
    given_up: Outbox, resolver_environment: Env, redis: Redis
) -> None:
    for name in keys_of(redis, "{p*d"):
        for field in redis.hkeys(name):
            redis.hset(name, field, b"garbage")
    done = run(resolver_environment, "retry", "--all")
    assert "cannot be opened" in done.output
    assert given_up.depth().dead == 2


@pytest.fixture
def waiting(make_api: Callable[..., Api]) -> Api:
    """Three commands about one notification, and one about another."""
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notificationId="n-0")
    for user in ("ben", "cleo"):
        entry = {"id": "n-0", "readByUserIds": [user]}
        api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
    api.add(notificationId="n-1")
    return api


def lines_of(output: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in output.splitlines()]


def test_outbox_waiting_lists_commands_without_content(waiting: Api, resolver_environment: Env) -> None:
    found = lines_of(run(resolver_environment, "waiting", "--json").output)
    kinds = [(entry["notification"], entry["kind"]) for entry in found]
    assert sorted(kinds) == [("n-0", "change"), ("n-0", "change"), ("n-0", "register"), ("n-1", "register")]
    assert "CANARY" not in run(resolver_environment, "waiting").output


@pytest.mark.parametrize("positions", [[1], [0], [2], [0, 1], [0, 1, 2]])
def test_outbox_drop_removes_queued_commands_and_keeps_the_order(
    waiting: Api, outbox: Outbox, resolver_environment: Env, positions: list[int]
) -> None:
    listed_ = lines_of(run(resolver_environment, "waiting", "--json").output)
    names = [entry["name"] for entry in listed_ if entry["notification"] == "n-0"]
    before = [command(entry) for entry in outbox.waiting.all() if entry.name in names]
    done = run(resolver_environment, "drop", *(names[position] for position in positions))
    assert done.output == f"{len(positions)} dropped\n"
    left = [command(entry) for entry in outbox.waiting.all() if entry.name in names]
    assert left == [data for position, data in enumerate(before) if position not in positions]
    assert outbox.depth().due == 1 + bool(left)
    assert waiting.read("n-0").keys() == {"n-0"}


def command(entry: WaitingCommand) -> object:
    assert entry.command
    return entry.command.data


def test_outbox_drop_keeps_a_command_that_is_being_sent(
    waiting: Api, outbox: Outbox, resolver_environment: Env
) -> None:
    """Otherwise its sender couldn't roll back an add that Velt refuses."""
    queue = next(queue for queue in outbox.due() if len(outbox.fields(queue.commands)) > 5)
    claimed = outbox.claim(queue)
    assert claimed
    names = [entry.name for entry in outbox.waiting.all() if queue.member in entry.name]
    done = run(resolver_environment, "drop", *names[:2])
    assert "is being sent just now" in done.output
    assert done.output.endswith("1 dropped\n")
    outbox.release(claimed)
    assert run(resolver_environment, "drop", names[0]).output == "1 dropped\n"
    again = outbox.claim(queue)
    assert again
    assert again.command
    assert again.command.data["notifications"][0]["readByUserIds"] == ["cleo"]


def test_outbox_drop_marks_no_record_when_its_command_was_sent_meanwhile(
    make_api: Callable[..., Api], outbox: Outbox, resolver_environment: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    data = {name: value for name, value in notification().items() if name != "notificationId"}
    headers = {**BACKEND, "idempotency-key": "k-1"}
    assert api.post("/v2/notifications/add", {"data": data}, headers).status_code == 200
    (entry,) = outbox.waiting.all()

    drop = WaitingCommands.drop

    def late(self: WaitingCommands, waiting: WaitingCommand) -> Dropped:
        (queue,) = outbox.due()
        claimed = outbox.claim(queue)
        assert claimed
        assert outbox.complete(claimed)
        return drop(self, waiting)

    monkeypatch.setattr(WaitingCommands, "drop", late)
    assert run(resolver_environment, "drop", entry.name).output.endswith("0 dropped\n")
    again = api.post("/v2/notifications/add", {"data": data}, headers)
    assert again.get_json()["result"]["data"]["registration"] == "registered"


def test_outbox_drop_refuses_an_unknown_command(waiting: Api, resolver_environment: Env) -> None:
    missing = run(resolver_environment, "drop", "{p00}:nothing.0")
    assert (missing.exit_code, missing.output) == (1, "Error: Not in the outbox: {p00}:nothing.0\n")


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_outbox_retry_and_drop_require_names_or_all(
    given_up: Outbox, resolver_environment: Env, command: str
) -> None:
    assert run(resolver_environment, command).exit_code == 2
    assert run(resolver_environment, command, "{p00}:x:0").exit_code == 1
    assert given_up.depth().dead == 2
