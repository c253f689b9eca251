"""Erasure against the same oracle: complete, minimal, sent to Velt, and safe to interrupt."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.store.record import Record
from tests.cli.test_rotation import drained
from tests.privacy.test_export import ORGANIZATIONS, PEOPLE, email, generated, lines
from tests.support import Api, Velt, keys_of, stored
from tests.system.conftest import RESOLVER, plain_environment
from tests.waiting import until

JSON = dict[str, Any]
Environment = dict[str, str]


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, ["privacy", "erase", *arguments], env=env)


def erase(env: Environment, *arguments: str) -> JSON:
    done = run(env, *arguments, "--yes", "--json")
    assert done.exit_code == 0, done.output
    found: JSON = json.loads(done.stdout.splitlines()[-1])
    counts: JSON = found["counts"]
    return counts


def notifications(env: Environment, user: str) -> list[JSON]:
    """About them; the erasure itself may be under way."""
    return [item for item in lines(env, "--user", user) if item["type"] == "notification"]


def fill(api: Api, count: int) -> dict[str, Record]:
    chance = random.Random(11)
    records = [generated(chance, number)[0] for number in range(count)]
    for record in records:
        api.services.store.put(record)
    return {record.notification: record for record in records}


def expected(record: Record, user: str) -> str:
    """From the design's words."""
    if user == record.actor:
        return "removed"
    live = set(record.audience) - set(record.dismissed_by)
    if user in record.audience and not record.everyone and live <= {user}:
        return "removed"
    everything = json.dumps(record.parsed_content()) + json.dumps([*record.audience, *record.dismissed_by])
    return "cut" if f'"{user}"' in everything else "kept"


@pytest.mark.parametrize("organizations", [(), ("org-1", "org-2", "org-3")])
def test_erasure_is_complete_and_changes_no_byte_of_other_people(
    api: Api, redis: Redis, resolver_environment: Environment, organizations: tuple[str, ...]
) -> None:
    user = PEOPLE[7]
    records = fill(api, 5000)
    before = {name: stored(redis, name) for name in keys_of(redis)}
    bounds = [part for name in organizations for part in ("--org", name)]
    counts = erase(resolver_environment, "--user", user, *bounds)
    inside = {id_ for id_, r in records.items() if not organizations or r.organization in organizations}
    effects = {id_: expected(records[id_], user) if id_ in inside else "kept" for id_ in records}
    assert (counts["removed"], counts["cut"]) == tuple(
        list(effects.values()).count(effect) for effect in ("removed", "cut")
    )
    after = {record.notification: record for record in api.services.store.scan()}
    assert after.keys() == {id_ for id_, effect in effects.items() if effect != "removed"}
    for id_, record in after.items():
        if effects[id_] == "kept":
            assert record == records[id_]
        else:
            assert f'"{user}"' not in json.dumps(record.parsed_content())
            assert user not in (*record.audience, *record.dismissed_by)
            assert email(user) not in json.dumps(record.parsed_content())
    changed = sum(before[name] != stored(redis, name) for name in keys_of(redis) if name in before)
    assert changed == counts["cut"], "what is not about them keeps its very bytes"
    found = {item["organizationId"] for item in notifications(resolver_environment, user)}
    assert found == (set(ORGANIZATIONS) - set(organizations) if organizations else set())
    assert erase(resolver_environment, "--user", user, *bounds)["removed"] == 0


def test_erasure_keeps_other_people_in_records(api: Api, resolver_environment: Environment) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}], who=[{"userId": "ben", "name": "B"}, "cleo"])
    erase(resolver_environment, "--user", "ben")
    (held,) = api.services.store.scan()
    assert held.audience == ("cleo",)
    content = held.parsed_content()
    assert content["who"] == ["cleo"]
    assert content["actionUser"]["name"] == "CANARY Ana"
    assert content["displayHeadlineMessageTemplateData"] == {}
    assert content["displayBodyMessage"] == "CANARY body"


def test_erasure_by_address_removes_the_id_beside_it(api: Api, resolver_environment: Environment) -> None:
    api.add()
    api.add(notificationId="n-2", actionUser={"userId": "zoe"})
    assert erase(resolver_environment, "--email", "canary-ANA@example.com")["removed"] == 1
    assert [record.notification for record in api.services.store.scan()] == ["n-2"]


def test_erasure_sends_velt_a_command_for_each_record(
    api: Api, velt: Velt, resolver_environment: Environment
) -> None:
    api.add(notificationId="goes")
    api.add(notificationId="stays", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    erase(resolver_environment, "--user", "ben")
    drained(resolver_environment)
    assert velt.sent("/v2/notifications/delete") == [{"organizationId": "acme", "notificationIds": ["goes"]}]
    (change,) = velt.sent("/v2/notifications/update")
    assert change["notifications"] == [{"id": "stays", "notifyUsers": [{"userId": "cleo"}]}]


def test_erasure_rewrites_queued_commands_and_dead_letters(
    make_api: Callable[..., Api], velt: Velt, resolver_environment: Environment
) -> None:
    velt.break_with(status=503)
    api = make_api()
    for name in ("waits", "dead"):
        api.add(notificationId=name, notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    outbox = api.services.outbox
    until(lambda: len(outbox.due()) == 2, "both commands are due")
    for queue in outbox.due():
        claimed = outbox.claim(queue)
        assert claimed is not None
        assert claimed.command is not None
        if claimed.command.notification == "dead":
            outbox.dead_letter(claimed, "for the test")
        else:
            outbox.release(claimed)
    erase(resolver_environment, "--user", "ben")
    assert "ben" not in json.dumps([data for _, data in outbox.commands()])
    assert "cleo" in json.dumps([data for _, data in outbox.commands()])
    erase(resolver_environment, "--user", "ana")
    assert {kind for kind, _ in outbox.commands()} <= {"remove", "change"}
    assert "ana" not in json.dumps([data for _, data in outbox.commands()])
    velt.mend()
    drained(resolver_environment)
    assert not [item for item in velt.inbox("cleo") if item["id"] in ("waits", "dead")]


def test_erasure_is_finished_by_the_second_run_when_the_first_is_killed(
    api: Api, resolver_environment: Environment
) -> None:
    user = PEOPLE[3]
    records = fill(api, 4000)
    arguments = ["privacy", "erase", "--user", user, "--yes"]
    with subprocess.Popen([*RESOLVER, *arguments], env=plain_environment(resolver_environment)) as first:
        try:
            until(lambda: sum(1 for _ in api.services.store.scan()) <= 3950, "some records are erased")
        finally:
            first.kill()
    erase(resolver_environment, "--user", user)
    assert notifications(resolver_environment, user) == []
    kept = {id_ for id_, record in records.items() if expected(record, user) != "removed"}
    assert {record.notification for record in api.services.store.scan()} == kept


def test_erasure_of_an_organization_removes_no_other(
    api: Api, velt: Velt, resolver_environment: Environment
) -> None:
    for organization in ("acme", "zeta"):
        api.add(organizationId=organization)
    erase(resolver_environment, "--organization", "acme")
    assert [record.organization for record in api.services.store.scan()] == ["zeta"]
    drained(resolver_environment)
    assert [item["organizationId"] for item in velt.sent("/v2/notifications/delete")] == ["acme"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--org", "acme"],
        ["--organization", "a", "--org", "b"],
        ["--organization", "a", "--user", "b"],
        ["--email", "a@example.com", "--velt-user-data"],
        ["--mentioning", "!?"],
        ["--email", ""],
        ["--user", ""],
        ["--user", " "],
        ["--user", "ben", "--email", ""],
        ["--user", "ben", "--org", ""],
        ["--organization", ""],
        ["--user", "x" * 513],
        ["--user", "half-a-character-\udcff"],
        ["--mentioning", "half-a-character-\udcff"],
    ],
)
def test_privacy_erase_is_refused_without_a_subject(
    api: Api, resolver_environment: Environment, arguments: list[str]
) -> None:
    api.add(displayHeadlineMessageTemplateData={"a": "", "recipientUser": {"userId": "cleo", "photoUrl": ""}})
    before = list(api.services.store.scan())
    assert run(resolver_environment, *arguments, "--yes").exit_code == 2
    assert list(api.services.store.scan()) == before


def test_privacy_erase_asks_for_confirmation(api: Api, resolver_environment: Environment) -> None:
    api.add()
    done = CliRunner().invoke(
        main, ["privacy", "erase", "--user", "ben"], env=resolver_environment, input="n\n"
    )
    assert done.exit_code == 1
    assert list(api.services.store.scan())
