"""Export against an oracle: complete, and without data of other people."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from resolver.audit.event import Actor
from resolver.audit.trail import Trail
from resolver.cli import main
from resolver.privacy.eraser import Eraser
from resolver.privacy.people import Subject
from resolver.store.command import Command, Entry, Kind
from resolver.store.record import Record
from tests.audit.test_trail import SIGNER, event
from tests.erasing import erasure_request, filed
from tests.support import Api, Velt, key

JSON = dict[str, Any]
Environment = dict[str, str]
ORGANIZATIONS = [f"org-{n}" for n in range(20)]
PEOPLE = [f"user-{n:03d}" for n in range(60)]


def email(user: str) -> str:
    return f"{user}@Example.com"


def person(user: str) -> JSON:
    return {"userId": user, "name": f"Name of {user}", "email": email(user)}


def generated(chance: random.Random, number: int) -> tuple[Record, set[str]]:
    """A notification, and all people who are in it."""
    actor, recipient, mentioned, keyed, spelt = (chance.choice(PEOPLE) for _ in range(5))
    audience = tuple({recipient, *chance.sample(PEOPLE, chance.randrange(4))})
    content = {
        "actionUser": person(actor),
        "displayHeadlineMessageTemplateData": {
            "recipientUser": person(recipient),
            "deep": [[person(mentioned)]],
        },
        "notificationSourceData": {"byUser": {keyed: 1}, "assignee": spelt},
        "displayBodyMessage": f"text {number}",
    }
    dismissed_by = (chance.choice(PEOPLE),) if chance.random() < 0.2 else ()
    record = Record(
        organization=chance.choice(ORGANIZATIONS),
        notification=f"n-{number}",
        document="d",
        actor=actor,
        audience=audience,
        everyone=chance.random() < 0.5,
        dismissed_by=dismissed_by,
        content=orjson.dumps(content),
    )
    return record, {actor, recipient, mentioned, keyed, spelt, *audience, *dismissed_by}


@pytest.fixture
def oracle(api: Api) -> dict[str, set[str]]:
    """The people in each notification."""
    chance = random.Random(5)
    known = {}
    for number in range(5000):
        record, everybody = generated(chance, number)
        api.services.store.put(record)
        known[record.notification] = everybody
    return known


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, ["privacy", "export", *arguments], env=env)


def lines(env: Environment, *arguments: str) -> list[JSON]:
    done = run(env, *arguments)
    assert done.exit_code == 0, done.output
    *found, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert (end["type"], end["complete"]) == ("end", True)
    return found


@pytest.mark.parametrize("by", ["--user", "--email"])
def test_export_is_complete_without_other_people(
    oracle: dict[str, set[str]], resolver_environment: Environment, by: str
) -> None:
    for user in PEOPLE[:2]:
        found = lines(resolver_environment, by, user if by == "--user" else email(user).upper())
        told = {item["notificationId"] for item in found}
        expected = {id_ for id_, everybody in oracle.items() if user in everybody}
        if by == "--user":
            assert told == expected
        else:
            # By address alone, those where the address stands: an id says nothing about an address.
            assert told
            assert told <= expected
        text = json.dumps(found)
        assert user in text
        assert not [other for other in PEOPLE if other != user and other in text]
        assert not [other for other in PEOPLE if other != user and email(other) in text]


def test_export_can_be_limited_to_organizations(
    oracle: dict[str, set[str]], resolver_environment: Environment
) -> None:
    found = lines(resolver_environment, "--user", PEOPLE[0], "--org", "org-3", "--org", "org-4")
    assert {item["organizationId"] for item in found} == {"org-3", "org-4"}


def test_export_shows_roles_and_own_data(api: Api, resolver_environment: Environment) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}], metadata={"m": 1, "by": "cleo"})
    (ana,) = lines(resolver_environment, "--user", "ana")
    assert ana["roles"] == ["actor", "mentioned"]
    assert ana["content"]["actionUser"]["email"] == "CANARY-ana@example.com"
    assert ana["content"]["displayHeadlineMessageTemplateData"]["recipientUser"] == "[another person]"
    assert ana["backendOnly"]["metadata"] == {"m": 1, "by": "[another person]"}
    (ben,) = lines(resolver_environment, "--user", "ben")
    assert ben["roles"] == ["recipient", "mentioned"]
    assert ben["content"]["actionUser"] == "[another person]"
    assert lines(resolver_environment, "--user", "nobody") == []


def test_export_includes_queued_commands(api: Api, velt: Velt, resolver_environment: Environment) -> None:
    velt.break_with(status=503)
    api.add()
    api.services.store.remove("acme", "n-1")
    (command,) = lines(resolver_environment, "--user", "ben")
    assert (command["type"], command["kind"]) == ("command", "register")
    assert "ana" not in json.dumps(command)


def test_export_includes_audit_entries_when_a_trail_is_given(
    resolver_environment: Environment, tmp_path: Path
) -> None:
    trail = Trail(str(tmp_path / "audit.log"), SIGNER)
    trail.record(event())
    trail.record(event(actor=Actor("user", "zoe")))
    trail.close()
    found = lines(resolver_environment, "--user", "ben", "--audit", str(tmp_path / "audit.log"))
    assert [item["who"]["id"] for item in found] == ["ben"]


@pytest.mark.parametrize(
    "odd",
    [
        '{"audit":1,"who":"x"}',
        '{"audit":1,"who":["x"]}',
        '{"audit":1,"user":["ben"]}',
        '{"audit":1,"who":{"kind":"user","id":{}}}',
        '{"audit":1,"who":',
        "[" * 100_000 + '"audit":',
        '\xff{"audit"',
    ],
)
def test_export_reports_unreadable_audit_lines_and_reads_the_others(
    resolver_environment: Environment, tmp_path: Path, odd: str
) -> None:
    file = tmp_path / "audit.log"
    trail = Trail(str(file), SIGNER)
    trail.record(event())
    trail.close()
    entry = file.read_bytes() + b'{"audit":1,"user":"ben","who":{},"ids":["\\ud800"]}\n'
    other = b'some other log\n{"event":"x"}\n[]\n7\n\n'
    file.write_bytes(other + odd.encode("latin-1") + b"\n" + entry)
    done = run(resolver_environment, "--user", "ben", "--audit", str(file))
    *found, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["who"].get("id") for item in found if item["type"] == "audit"] == ["ben", None]
    assert end["type"] == "end"
    assert done.exit_code == 1
    assert "line 6 of audit.log can't be parsed" in done.stderr


def test_export_shows_all_fields_when_the_content_itself_has_an_id(
    api: Api, resolver_environment: Environment
) -> None:
    named = {"userId": "cleo", "email": "support@example.com"}
    api.add(**named, displayBodyMessage="hello Ben, your data", metadata={**named, "text": "own"})
    (found,) = lines(resolver_environment, "--user", "ben")
    assert found["content"]["displayBodyMessage"] == "hello Ben, your data"
    assert found["content"]["userId"] == found["content"]["email"] == "[another person]"


def test_export_redacts_only_other_readers_in_commands(
    make_api: Callable[..., Api], resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "zoe"}])
    entry = {"id": "n-1", "readByUserIds": ["ben", "a-reader"], "notifyUsers": [{"userId": "ben"}]}
    api.velt("notifications/update", {"organizationId": "acme", "userId": "zoe", "notifications": [entry]})
    found = lines(resolver_environment, "--user", "ben")
    (told,) = [item["data"] for item in found if item.get("kind") == "change"]
    assert told["organizationId"] == "acme"
    assert told["userId"] == "[another person]"
    (shown,) = told["notifications"]
    assert shown["readByUserIds"] == ["ben", "[another person]"]
    assert shown["notifyUsers"] == [{"userId": "ben"}]


def test_export_skips_commands_of_an_organization_with_the_same_name(
    make_api: Callable[..., Api], resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(organizationId="ben", notifyUsers=[{"userId": "zoe"}], displayHeadlineMessageTemplateData={})
    assert lines(resolver_environment, "--user", "ben") == []


def test_export_includes_open_erasures_of_the_person(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    filed(eraser, what := erasure_request("ben", "zoe", emails=("Ben@example.com",), organizations=("acme",)))
    filed(eraser, erasure_request("zoe"))
    filed(eraser, erasure_request(organizations=("acme",), whole=True))
    (found,) = lines(resolver_environment, "--user", "ben")
    assert found == {
        "type": "erasure",
        "erasureId": what.id,
        "askedAt": what.asked,
        "status": "waiting",
        "organizationIds": ["acme"],
        "userIds": ["ben"],
        "emails": [],
    }
    assert lines(resolver_environment, "--email", "BEN@example.com")[0]["emails"] == ["Ben@example.com"]
    assert lines(resolver_environment, "--user", "ben", "--org", "zeta") == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--org", "acme"],
        ["--email", ""],
        ["--user", ""],
        ["--user", "nobody", "--email", ""],
        ["--user", "nobody", "--org", " "],
        ["--user", "half-a-character-\udcff"],
    ],
)
def test_export_is_refused_without_a_subject(
    api: Api, resolver_environment: Environment, arguments: list[str]
) -> None:
    api.add()
    done = run(resolver_environment, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_privacy_erase_refuses_invalid_unicode(resolver_environment: Environment) -> None:
    arguments = ["privacy", "status", "half-a-character-\udcff"]
    assert CliRunner(catch_exceptions=False).invoke(main, arguments, env=resolver_environment).exit_code == 2


def test_export_says_when_it_may_be_incomplete(api: Api, resolver_environment: Environment) -> None:
    api.add()
    other = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)}"}
    done = run(other, "--user", "ben")
    assert done.exit_code == 1


def test_export_is_incomplete_when_commands_are_unreadable(make_api: Callable[..., Api]) -> None:
    other = make_api(RESOLVER_MASTER_KEYS=f"k2:{key(2)}").services.store
    other.enqueue("acme", "n-1", Entry(Command(Kind.REMOVE, "n-1", {"organizationId": "acme"})))
    *_, last = make_api().services.export(Subject(frozenset({"ben"})), frozenset())
    assert last == {"type": "end", "complete": False, "found": 0, "unreadable": 1}
