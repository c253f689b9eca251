"""The whole matrix, generated: organization, person, action and requested ids, under every read policy.

The expected outcome is derived here a second time, from docs/frontend.md and docs/configuration.md, so that a
mistake in the policies shows as a difference. A denial must equal an absence, byte for byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from resolver.store.record import Record
from resolver.wiring import Services
from tests.auth.test_permission_provider import answering
from tests.servers import Service, running
from tests.support import BACKEND, Api
from tests.support import signed as token_of

ACTOR, NAMED, LEFT, STRANGER = "ana", "ben", "cleo", "zoe"
PEOPLE = (ACTOR, NAMED, LEFT, STRANGER)
ORGANIZATIONS = ("acme", "zeta")
MEMBERSHIPS = (("acme",), ("zeta",), ("acme", "zeta"), ("nowhere",))
KINDS: dict[str, dict[str, Any]] = {
    "addressed": {"everyone": False},
    "last": {"everyone": False, "audience": (NAMED,), "dismissed_by": ()},
    "shared": {"everyone": False, "audience": (NAMED, "dora"), "dismissed_by": ()},
    "everyone": {"everyone": True},
    "narrowed": {"everyone": True, "private": {"context": {"access": {"team": "red"}}}},
    "narrowed-twice": {"everyone": True, "private": {"context": {"access": {"team": "red", "widgetId": 7}}}},
    "narrowed-and-named": {"everyone": False, "private": {"context": {"access": {"team": "red"}}}},
    "verified": {"everyone": True, "verified": True},
    "verified-and-named": {"everyone": False, "verified": True},
    "elsewhere": {"everyone": True, "document": "d-2"},
}
SEES_D1 = {ACTOR, STRANGER}
"""People who may see document d-1 by the Permission Provider or by their own token. Not all people who are
named are among them. No person may see d-2."""
CONTEXTS: dict[str, dict[str, Any]] = {
    ACTOR: {"widgetId": 7},
    NAMED: {"team": "red", "widgetId": 7},
    LEFT: {"team": "red", "widgetId": 7},
    STRANGER: {"team": "red"},
}
"""The access that the Permission Provider grants each person in requests of type `context`."""
POLICIES = ("recipient", "organization", "provider", "claim", "claim and provider")
Send = Callable[[str, Any], TestResponse]


def record(organization: str, kind: str) -> Record:
    given = {
        "document": "d-1",
        "actor": ACTOR,
        "audience": (NAMED, LEFT),
        "dismissed_by": (LEFT,),
        **KINDS[kind],
    }
    content = b'{"displayBodyMessage":"of %s"}' % organization.encode()
    return Record(organization=organization, notification=kind, content=content, **given)


def should_read(policy: str, user: str, held: Record) -> bool:
    """Within an organization that the token holds."""
    if user in held.dismissed_by:
        return False
    named = user == held.actor or user in held.audience
    match policy:
        case "organization":
            return True
        case "provider" | "claim and provider":
            matches = all(CONTEXTS[user].get(name) == value for name, value in held.access().items())
            return user in SEES_D1 and held.document == "d-1" and matches
        case "claim":
            return user in SEES_D1 and held.document == "d-1" and not held.access()
        case _:
            return named or (held.everyone and not held.verified and not held.access())


@pytest.fixture
def permissions() -> Iterator[Service]:
    def answer(asked: Any) -> Any:
        user = asked["data"]["requests"][0]["userId"]
        seen = {"d-1"} if user in SEES_D1 else set()
        return answering(*seen, contexts=CONTEXTS[user])(asked)

    with running(Service(body=answer)) as service:
        yield service


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(policy: str, permissions: Service) -> dict[str, str]:
    provider = {"RESOLVER_PERMISSION_URL": permissions.url} if "provider" in policy else {}
    claim = {"RESOLVER_TOKEN_DOCUMENTS_CLAIM": "docs"} if "claim" in policy else {}
    return {"RESOLVER_READ_POLICY": "document" if provider or claim else policy, **provider, **claim}


def sender(api: Api, user: str, organizations: tuple[str, ...]) -> Send:
    docs = ["d-1"] if user in SEES_D1 else []
    token = token_of(user, *organizations, docs=docs)

    def send(action: str, body: Any) -> TestResponse:
        return api.post(f"/api/velt/notifications/{action}", body, {"authorization": f"Bearer {token}"})

    return send


def everything(reply: TestResponse) -> tuple[Any, ...]:
    """Return everything that a caller sees, except the request id."""
    headers = sorted((k, v) for k, v in reply.headers if k.lower() != "x-request-id")
    return reply.status_code, reply.data, headers


def seed(services: Services) -> None:
    for organization, kind in itertools.product(ORGANIZATIONS, KINDS):
        services.store.put(record(organization, kind))


@pytest.mark.parametrize("withheld", ["", "Sign in to the document to read this"])
def test_denied_readers_get_the_answer_for_absent_notifications(
    make_api: Callable[..., Api], settings: dict[str, str], policy: str, withheld: str
) -> None:
    api = make_api(**settings, RESOLVER_WITHHELD_HEADLINE=withheld)
    seed(api.services)
    for user, organizations, called in itertools.product(PEOPLE, MEMBERSHIPS, ORGANIZATIONS):
        send = sender(api, user, organizations)
        member = called in organizations
        expected = {kind for kind in KINDS if member and should_read(policy, user, record(called, kind))}
        for kind in KINDS:
            reply = send("get", {"organizationId": called, "notificationIds": [kind]})
            if kind in expected:
                assert reply.json == found(called, kind), (user, organizations, called)
            else:
                absent = send("get", {"organizationId": called, "notificationIds": ["a" * len(kind)]})
                as_if = absent.data.replace(b"a" * len(kind), kind.encode())
                assert everything(reply) == (200, as_if, everything(absent)[2]), (user, organizations, kind)
        several = send("get", {"organizationId": called, "notificationIds": [*KINDS, "absent"]}).json
        read = {id_ for id_, item in several["data"].items() if "displayBodyMessage" in item}  # type: ignore[index]
        assert read == expected, (user, organizations, called)


def readable(send: Send, organization: str) -> set[str]:
    reply = send("get", {"organizationId": organization, "notificationIds": list(KINDS)})
    assert reply.status_code == 200
    return set(reply.get_json()["data"])


UPDATES: tuple[dict[str, Any], ...] = (
    {"notifyUsers": [{"userId": STRANGER}]},
    {"context": {"access": {"team": "red"}}},
    {"context": {"access": {"team": "blue"}}, "notifyUsers": [{"userId": NAMED}, {"userId": LEFT}]},
    {"context": {"access": {}}, "actionUser": {"userId": STRANGER}},
)


def test_an_update_between_two_reads_decides_the_second(
    make_api: Callable[..., Api], settings: dict[str, str], policy: str
) -> None:
    api = make_api(**settings)
    seed(api.services)
    send = {user: sender(api, user, ("acme",)) for user in PEOPLE}
    for changes in ({}, *UPDATES):
        entries = [{"id": kind, "displayBodyMessage": "later", **changes} for kind in KINDS]
        api.velt("notifications/update", {"organizationId": "acme", "notifications": entries})
        held = api.services.store.read("acme", list(KINDS))
        for user in PEOPLE:
            expected = {kind for kind in KINDS if should_read(policy, user, held[kind])}
            assert readable(send[user], "acme") == expected, (user, changes)


@pytest.mark.parametrize("organization", [None, "acme"])
def test_a_revoked_token_reads_and_deletes_nothing_under_any_policy(
    make_api: Callable[..., Api], settings: dict[str, str], organization: str | None
) -> None:
    api = make_api(**settings)
    seed(api.services)
    for user in PEOPLE:
        send = sender(api, user, ORGANIZATIONS)
        elsewhere = readable(send, "zeta")
        absent = send("get", {"organizationId": "acme", "notificationIds": ["absent"]})
        assert absent.get_json()["data"] == {}
        bounds = {"organizationId": organization} if organization else {}
        assert api.post("/api/velt/token/revoke", {"userId": user, **bounds}).status_code == 200
        for kind in KINDS:
            reply = send("get", {"organizationId": "acme", "notificationIds": [kind]})
            assert reply.status_code == (200 if organization else 401)
            assert not organization or everything(reply) == everything(absent)
            send("delete", {"organizationId": "acme", "notificationId": kind})
        assert api.services.store.read("acme", list(KINDS)) == {kind: record("acme", kind) for kind in KINDS}
        if organization:
            assert readable(send, "zeta") == elsewhere


def found(organization: str, kind: str) -> Any:
    item = {"notificationId": kind, "displayBodyMessage": f"of {organization}"}
    return {"data": {kind: item}, "success": True, "statusCode": 200}


def what_deletion_does(delete_policy: str, user: str, kind: str) -> str:
    """Within an organization that the token holds."""
    held = record("acme", kind)
    if delete_policy == "backend":
        return "nothing"
    if user == ACTOR:
        return "removes"
    if delete_policy == "actor" or user in held.dismissed_by:
        return "nothing"
    if user in held.audience:
        # In these, alone among those still there.
        alone = kind == "last" or (kind != "shared" and not held.everyone)
        return "removes" if alone else "leaves"
    return "leaves" if kind in ("everyone", "elsewhere") else "nothing"


@pytest.mark.parametrize("delete_policy", ["recipient", "actor", "backend"])
def test_denied_delete_changes_nothing_and_answers_as_for_absent_notifications(
    make_api: Callable[..., Api], settings: dict[str, str], delete_policy: str
) -> None:
    api = make_api(**settings, RESOLVER_DELETE_POLICY=delete_policy)
    store = api.services.store
    for user, organizations, called in itertools.product(PEOPLE, MEMBERSHIPS, ORGANIZATIONS):
        send = sender(api, user, organizations)
        absent = everything(send("delete", {"organizationId": called, "notificationId": "absent"}))
        assert absent[0] == (403 if delete_policy == "backend" else 200)
        seed(api.services)
        for kind in KINDS:
            for _ in range(2):
                reply = send("delete", {"organizationId": called, "notificationId": kind})
                assert everything(reply) == absent, (user, organizations, called, kind)
            member = called in organizations
            does = what_deletion_does(delete_policy, user, kind) if member else "nothing"
            after = store.read(called, [kind]).get(kind)
            assert done_to(record(called, kind), after, user) == does, (user, organizations, called, kind)
        for other in set(ORGANIZATIONS) - {called}:
            for kind in KINDS:
                assert store.read(other, [kind])[kind] == record(other, kind)


def done_to(before: Record, after: Record | None, user: str) -> str:
    if after is None:
        return "removes"
    if after == before:
        return "nothing"
    assert after.dismissed_by == (*before.dismissed_by, user)
    assert after.content == before.content
    return "leaves"


def test_the_trusted_backend_reads_and_removes_everything_under_every_policy(
    make_api: Callable[..., Api], settings: dict[str, str]
) -> None:
    api = make_api(**settings, RESOLVER_DELETE_POLICY="backend")
    seed(api.services)
    for organization in ORGANIZATIONS:
        body = {"organizationId": organization, "notificationIds": list(KINDS)}
        assert api.post("/api/velt/notifications/get", body, BACKEND).json["data"].keys() == KINDS.keys()  # type: ignore[index]
    gone = {"organizationId": "acme", "notificationId": "everyone"}
    assert api.post("/api/velt/notifications/delete", gone, BACKEND).status_code == 200
    assert api.services.store.read("acme", ["everyone"]) == {}
    assert api.services.store.read("zeta", ["everyone"])


def test_repeated_or_batched_reads_reveal_nothing_more(
    make_api: Callable[..., Api], settings: dict[str, str]
) -> None:
    api = make_api(**settings)
    seed(api.services)
    send = sender(api, STRANGER, ("zeta",))
    one = send("get", {"organizationId": "zeta", "notificationIds": list(KINDS)})
    twice = send("get", {"organizationId": "zeta", "notificationIds": [*KINDS, *KINDS]})
    assert twice.data == one.data
    for ids in ([], None, ["*"], [""], ["%"], ["addressed*"], ["{p00}n:*"]):
        reply = send("get", {"organizationId": "zeta", "notificationIds": ids})
        assert reply.json["data"] == {}, ids  # type: ignore[index]
