"""The search finds the person, whatever their name looks like, and never another person."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from redis import Redis

from resolver.outbox.queue import Claim, claim_of, new_claim
from resolver.privacy.eraser import Eraser
from resolver.store.command import Command, Entry, Kind, Place
from resolver.store.record import Record
from tests.erasing import done, erasure_request, filed
from tests.privacy.test_export import lines
from tests.support import Api, Velt

JSON = dict[str, Any]
Environment = dict[str, str]
MakeApi = Callable[..., Api]


def put(api: Api, content: JSON | None = None, **more: Any) -> None:
    """A notification from ana to cleo."""
    fields = {"notification": "n-1", "actor": "ana", "audience": ("cleo",), "everyone": False, **more}
    api.services.store.put(Record("acme", document="d", content=orjson.dumps(content or {}), **fields))


def only(api: Api) -> Record:
    (held,) = api.services.store.scan()
    return held


def commands(api: Api) -> list[tuple[str, JSON]]:
    return list(api.services.outbox.commands())


# Who counts as the person


def test_ids_differ_by_case_and_addresses_do_not(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    content = {"other": {"userId": "BEN", "name": "Benita"}, "text": "BEN", "mail": "Ben@Example.com"}
    put(api, content)
    done(eraser, resolver_environment, erasure_request("ben", emails=("bEN@example.com",)))
    assert only(api).parsed_content() == {"other": {"userId": "BEN", "name": "Benita"}, "text": "BEN"}


@pytest.mark.parametrize("address", ["-", "team@example.com"])
def test_shared_address_does_not_include_other_people(
    api: Api, eraser: Eraser, resolver_environment: Environment, address: str
) -> None:
    zoe = {"userId": "zoe", "name": "Zoe", "email": address}
    put(api, {"a": zoe, "b": {"userId": "ben", "email": address}, "c": address}, audience=("zoe", "cleo"))
    (found,) = lines(resolver_environment, "--user", "ben")
    assert "Zoe" not in json.dumps(found)
    done(eraser, resolver_environment, erasure_request("ben"))
    assert only(api).parsed_content() == {"a": zoe, "c": address}
    assert only(api).audience == ("zoe", "cleo")


def test_own_address_is_erased_with_the_id(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    put(api, {"b": {"userId": "ben", "email": "ben@example.com"}, "c": "Ben@example.com", "d": 1})
    done(eraser, resolver_environment, erasure_request("ben"))
    assert only(api).parsed_content() == {"d": 1}


def test_fields_of_the_content_itself_are_not_a_person(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    put(api, {"userId": "cleo", "email": "Ben@example.com", "text": "t"})
    done(eraser, resolver_environment, erasure_request(emails=("ben@example.com",)))
    assert only(api).parsed_content() == {"userId": "cleo", "text": "t"}
    assert only(api).audience == ("cleo",)


def test_ids_that_are_addresses_match_in_any_case(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    put(api, notification="n-1", audience=("Ben@Example.com", "cleo"), dismissed_by=("BEN@example.com",))
    put(api, notification="n-2", actor="Ben@Example.com")
    put(api, notification="n-3", audience=("Ben@Example.com",))
    found = lines(resolver_environment, "--email", "ben@EXAMPLE.com")
    assert {item["notificationId"]: item["roles"] for item in found} == {
        "n-1": ["recipient", "left"],
        "n-2": ["actor"],
        "n-3": ["recipient"],
    }
    done(eraser, resolver_environment, erasure_request(emails=("ben@example.com",)))
    assert (only(api).notification, only(api).audience, only(api).dismissed_by) == ("n-1", ("cleo",), ())


def test_numeric_id_is_found(api: Api, eraser: Eraser, resolver_environment: Environment) -> None:
    put(
        api,
        {
            "a": {"userId": 17, "name": "Ben"},
            "b": {"userId": 17.0},
            "c": {"userId": True},
            "count": 17,
            "userId": 17,
        },
    )
    assert lines(resolver_environment, "--user", "17")[0]["content"]["a"]["name"] == "Ben"
    done(eraser, resolver_environment, erasure_request("17"))
    assert only(api).parsed_content() == {"c": {"userId": True}, "count": 17}


@pytest.mark.parametrize("id_", [["a"], {"a": 1}, None, True, 1.5, 1e300, ""])
def test_id_of_unexpected_type_stops_no_erasure(
    api: Api, eraser: Eraser, resolver_environment: Environment, id_: Any
) -> None:
    odd = {"userId": id_, "email": "x@example.com"}
    api.add(notificationId="odd", metadata={"g": odd}, displayHeadlineMessageTemplateData={"g": odd})
    put(api, {"b": {"userId": "ben", "email": id_}})
    assert len(lines(resolver_environment, "--user", "ben")) == 2
    assert done(eraser, resolver_environment, erasure_request("ben"))["counts"]["cut"] == 1


# What decides who reads, and where


ACCESS = {"notifyAll": True, "notifyUsers": [{"userId": "zoe"}], "displayHeadlineMessageTemplateData": {}}


@pytest.mark.parametrize("access", [{"owner": "ben"}, {"ben": 1}, {"owner": "ben", "team": "red"}])
def test_record_is_removed_when_its_access_rules_name_the_person(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment, access: JSON
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(**ACCESS, context={"access": access})
    done(eraser, resolver_environment, erasure_request("ben"))
    assert list(api.services.store.scan()) == []
    assert velt.sent("/v2/notifications/add") == []
    assert velt.sent("/v2/notifications/delete") == [{"organizationId": "acme", "notificationIds": ["n-1"]}]


@pytest.mark.parametrize("user", ["access", "context", "location", "id", "version", "locationId"])
def test_id_equal_to_a_schema_word_removes_no_field(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment, user: str
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    place = {"id": user, "version": {"id": user}}
    about = {"context": {"access": {"team": "red"}}, "location": place, "locationId": user}
    api.add(**ACCESS, **about, documentId=user, metadata={user: "x", "name": "y"})
    assert not api.read("n-1", user="cleo")
    done(eraser, resolver_environment, erasure_request(user))
    assert only(api).private == {**about, "metadata": {"name": "y"}}
    assert not api.read("n-1", user="cleo")
    (sent,) = velt.sent("/v2/notifications/add")
    assert {name: sent[name] for name in about} == about


def test_record_that_only_resembles_the_person_is_not_rewritten(
    api: Api, eraser: Eraser, resolver_environment: Environment
) -> None:
    put(api, private={"locationId": "ben"})
    assert done(eraser, resolver_environment, erasure_request("ben"))["counts"]["cut"] == 0


# Commands


def test_commands_keep_fields_that_are_not_about_people(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    names = {"organizationId": "ben", "documentId": "ben", "notificationId": "ben", "locationId": "ben"}
    people = {"notifyUsers": [{"userId": "cleo"}, {"userId": "ben"}]}
    api.add(**names, **people, displayHeadlineMessageTemplateData={}, location={"id": "ben"})
    filed(eraser, erasure_request("ben"))
    eraser.round()
    sent = dict(commands(api))["register"]
    assert {name: sent[name] for name in names} == names
    assert (sent["notifyUsers"], sent["location"]) == ([{"userId": "cleo"}], {"id": "ben"})


def test_change_command_keeps_its_id_without_the_person(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    put(api, notification="ben", audience=("cleo", "ben"))
    entry: JSON = {"id": "ben", "readByUserIds": ["cleo", "ben"], "notifyUsers": [{"userId": "zoe"}]}
    entry |= {"actionUser": {"userId": "ben"}}
    api.velt("notifications/update", {"organizationId": "acme", "userId": "ben", "notifications": [entry]})
    line = api.services.outbox.due()[0]
    assert api.services.outbox.claim(line)  # it may have been told: it is changed, not replaced
    filed(eraser, erasure_request("ben"))
    eraser.round()
    changed = {"id": "ben", "readByUserIds": ["cleo"], "notifyUsers": [{"userId": "zoe"}]}
    assert dict(commands(api))["change"] == {"organizationId": "acme", "notifications": [changed]}


def test_registration_for_the_person_alone_becomes_a_removal(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add(notifyAll=False)
    assert api.services.outbox.claim(api.services.outbox.due()[0])
    filed(eraser, erasure_request("ben"))
    eraser.round()
    assert {kind for kind, _ in commands(api)} == {"remove"}


def test_filtered_removal_loses_the_person_and_removes_no_more(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    put(api, notification="theirs", audience=("ben",))
    put(api, notification="shared", audience=("ben", "cleo"))
    put(api, notification="spared", audience=("cleo",))
    theirs = {"organizationId": "acme", "documentId": "d", "userId": "ben"}
    api.velt("notifications/delete", {**theirs, "notificationIds": ["theirs", "shared", "spared"]})
    done(eraser, resolver_environment, erasure_request("ben"))
    sent = velt.sent("/v2/notifications/delete")
    assert sent == [{"organizationId": "acme", "documentId": "d", "notificationIds": ["theirs"]}]
    told = {
        entry["id"]: entry
        for sent in velt.sent("/v2/notifications/update")
        for entry in sent["notifications"]
    }
    cleo = [{"userId": "cleo"}]
    assert told["shared"] == {"id": "shared", "notifyUsers": cleo}
    assert "ben" not in json.dumps(told)
    held = {record.notification: record for record in api.services.store.scan()}
    assert {id_: (record.audience, record.dismissed_by) for id_, record in held.items()} == {
        "shared": (("cleo",), ()),
        "spared": (("cleo",), ()),
    }


def test_removal_by_another_person_is_unchanged(
    make_api: MakeApi, eraser: Eraser, velt: Velt, resolver_environment: Environment
) -> None:
    api = make_api(RESOLVER_REGISTRATION="deferred")
    put(api, audience=("zoe", "cleo"))
    asked = {"organizationId": "acme", "userId": "zoe", "notificationIds": ["n-1"]}
    api.velt("notifications/delete", asked)
    done(eraser, resolver_environment, erasure_request("ben"))
    assert velt.sent("/v2/notifications/delete") == [asked]


# What would come back, should Velt refuse


def test_rolled_back_version_does_not_bring_the_person_back(
    api: Api, eraser: Eraser, redis: Redis, resolver_environment: Environment
) -> None:
    put(api, notification="went", audience=("ben",))
    put(api, {"who": "ben", "text": "t"}, notification="cut", audience=("ben", "cleo"))
    put(api, {"text": "t"}, notification="kept")
    put(api, notification="new", audience=("zoe",))
    redis.delete(api.services.keyspace.record("acme", "new"))
    names = ("went", "cut", "kept", "new")
    claims = [being_told(api, name) for name in names]
    filed(eraser, erasure_request("ben"))
    eraser.round()
    for claimed in claims:
        assert api.services.outbox.roll_back(claimed)
    held = {record.notification: record for record in api.services.store.scan()}
    assert held.keys() == {"cut", "kept"}
    assert (held["cut"].audience, held["cut"].parsed_content()) == (("cleo",), {"text": "t"})
    assert (held["kept"].audience, held["kept"].parsed_content()) == (("cleo",), {"text": "t"})


def being_told(api: Api, name: str) -> Claim:
    """A request wrote it anew, about others, and Velt hasn't answered yet."""
    named = {"actionUser": {"userId": "ana"}, "notifyUsers": [{"userId": "zoe"}]}
    command = Command(Kind.REGISTER, name, {"organizationId": "acme", "documentId": "d", **named})
    record = Record("acme", name, "d", "ana", ("zoe",), False)
    written = api.services.store.put(record, Entry(command, Place.APPEND, new_claim(), 15_000))
    assert written.claim
    return claim_of(written, command)
