"""The document policy through the callback, beside a Permission Provider that is right, slow, wrong, down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from resolver.cli import main
from tests.auth.test_permission_provider import answering, later
from tests.servers import Service, running
from tests.support import Api, Velt, signed


@pytest.fixture
def provider() -> Iterator[Service]:
    with running(Service(body=answering("doc-1"))) as service:
        yield service


@pytest.fixture
def api(make_api: Callable[..., Api], provider: Service, velt: Velt) -> Api:
    api = make_api(
        RESOLVER_READ_POLICY="document",
        RESOLVER_PERMISSION_URL=provider.url,
        RESOLVER_PERMISSION_TOKEN="permission-token-for-tests",
    )
    for document in ("doc-1", "doc-2"):
        api.add(notificationId=document, documentId=document)
    return api


def test_document_policy_allows_readers_of_the_document(api: Api, provider: Service) -> None:
    for user in ("ana", "ben", "zoe"):
        assert api.read("doc-1", "doc-2", user=user).keys() == {"doc-1"}
    assert {asked["data"]["requests"][0]["userId"] for asked in provider.requests} == {"ana", "ben", "zoe"}


@pytest.mark.parametrize(
    "broken",
    [
        {"body": b"<html>"},
        {"body": answering("doc-1", hasAccess="yes")},
        {"body": answering("doc-1", organizationId="zeta")},
        {"status": 500},
        {"status": 302},
    ],
    ids=["no JSON", "neither yes nor no", "of another organization", "a failure", "a redirect"],
)
def test_document_policy_denies_on_any_answer_but_yes(api: Api, provider: Service, broken: Any) -> None:
    for name, value in broken.items():
        setattr(provider, name, value)
    assert api.read("doc-1", "doc-2") == {}


def test_cached_permissions_are_used_while_the_provider_is_slow(api: Api, provider: Service) -> None:
    provider.body = answering("doc-1", "doc-2", expiresAt=later(60))
    assert api.read("doc-1").keys() == {"doc-1"}
    provider.delay = 5
    for _ in range(5):
        started = time.monotonic()
        assert api.read("doc-1", "doc-2").keys() == {"doc-1"}
        assert time.monotonic() - started < 2


def test_cached_permissions_are_used_while_the_provider_is_down(make_api: Callable[..., Api]) -> None:
    down = make_api(
        RESOLVER_READ_POLICY="document",
        RESOLVER_PERMISSION_URL="http://127.0.0.1:1/",
        RESOLVER_TOKEN_DOCUMENTS_CLAIM="organizationIds",
    )
    down.add(notificationId="claimed", documentId="acme")
    down.add(notificationId="asked", documentId="doc-2")
    assert down.read("claimed", "asked").keys() == {"claimed"}


def test_permission_provider_is_not_asked_about_absent_or_foreign_records(
    api: Api, provider: Service
) -> None:
    api.read("nothing")
    api.read("doc-1", organization="zeta")
    assert provider.requests == []
    api.erase("doc-1", user="ben")
    api.read("doc-1", user="ben")
    assert provider.requests == [], "a person who dismissed it reads it under no policy"


RED = {"access": {"team": "red"}}


def narrowed(api: Api, **changes: Any) -> None:
    given = {"notificationId": "narrowed", "context": RED, "notifyAll": True, **changes}
    assert api.add(**given).status_code == 200


@pytest.mark.parametrize("user", ["ana", "ben", "zoe"], ids=["actor", "addressed", "not addressed"])
def test_a_narrowed_notification_takes_the_yes_of_document_and_context(
    api: Api, provider: Service, user: str
) -> None:
    narrowed(api)
    provider.body = answering("doc-1")
    assert api.read("narrowed", user=user) == {}, "the document's yes alone"
    provider.body = answering(contexts={"team": "red"})
    assert api.read("narrowed", user=user) == {}, "the context's yes alone"
    provider.body = answering("doc-1", contexts={"team": "blue"})
    assert api.read("narrowed", user=user) == {}, "another team's"
    provider.body = answering("doc-1", contexts={"team": "red"})
    assert api.read("narrowed", user=user).keys() == {"narrowed"}


def test_every_field_of_the_context_must_be_granted(api: Api, provider: Service) -> None:
    narrowed(api, context={"access": {"team": "red", "widgetId": 7}})
    provider.body = answering("doc-1", contexts={"team": "red"})
    assert api.read("narrowed") == {}
    provider.body = answering("doc-1", contexts={"team": "red", "widgetId": 7})
    assert api.read("narrowed").keys() == {"narrowed"}


def test_verified_demands_the_documents_yes(api: Api, provider: Service) -> None:
    api.add(notificationId="verified", verifyUserPermissions=True, notifyAll=True)
    for user in ("ana", "ben", "zoe"):
        provider.body = answering()
        assert api.read("verified", user=user) == {}
        provider.body = answering("doc-1")
        assert api.read("verified", user=user).keys() == {"verified"}


def test_one_call_asks_about_many_records_and_each_resource_once(api: Api, provider: Service) -> None:
    provider.body = answering("doc-1", contexts={"team": "red"})
    names = [f"n-{number}" for number in range(5)]
    for name in names:
        narrowed(api, notificationId=name)
    assert api.read(*names).keys() == set(names)
    (asked,) = provider.requests
    ids = [request["resource"]["id"] for request in asked["data"]["requests"]]
    assert ids == ["doc-1", '{"team":"red"}']


@pytest.mark.parametrize("name", ["parentFolderId", "folderId"])
def test_the_folder_that_the_backend_named_goes_to_the_provider_and_nowhere_else(
    api: Api, provider: Service, velt: Velt, name: str
) -> None:
    api.add(notificationId="filed", metadata={name: "folder-9", "other": 1})
    body = {"organizationId": "acme", "notificationIds": ["filed"], "metadata": {name: "forged"}}
    reply = api.callback("get", body)
    (asked,) = provider.requests
    assert asked["data"]["requests"][0]["resource"]["parentFolderId"] == "folder-9"
    assert b"folder-9" not in reply.data
    assert "folder-9" not in str(velt.sent())


@pytest.mark.parametrize("folder", [7, "", None, ["folder-9"], {"id": "folder-9"}])
def test_invalid_folder_is_not_sent_to_the_permission_provider(
    api: Api, provider: Service, folder: Any
) -> None:
    api.add(notificationId="filed", metadata={"parentFolderId": folder})
    assert api.read("filed").keys() == {"filed"}
    assert "parentFolderId" not in provider.requests[0]["data"]["requests"][0]["resource"]


def test_the_token_vouches_for_documents_and_never_for_contexts(
    make_api: Callable[..., Api], provider: Service
) -> None:
    by_claim = {"RESOLVER_READ_POLICY": "document", "RESOLVER_TOKEN_DOCUMENTS_CLAIM": "docs"}
    alone, beside = make_api(**by_claim), make_api(**by_claim, RESOLVER_PERMISSION_URL=provider.url)
    alone.add(notificationId="plain")
    narrowed(alone)
    body = {"organizationId": "acme", "notificationIds": ["plain", "narrowed"]}

    def read(api: Api, user: str) -> set[str]:
        bearer = {"authorization": f"Bearer {signed(user, 'acme', docs=['doc-1'])}"}
        return set(api.post("/api/velt/notifications/get", body, bearer).get_json()["data"])

    for user in ("ana", "ben", "zoe"):
        assert read(alone, user) == {"plain"}, "nobody judges the context"
        provider.body = answering()
        assert read(beside, user) == {"plain"}
        provider.body = answering(contexts={"team": "red"})
        assert read(beside, user) == {"plain", "narrowed"}
    assert {r["resource"]["type"] for asked in provider.requests for r in asked["data"]["requests"]} == {
        "context"
    }


def test_an_update_between_two_reads_decides_the_second(api: Api, provider: Service) -> None:
    provider.body = answering("doc-1", contexts={"team": "red"}, expiresAt=later(60))
    assert api.read("doc-1").keys() == {"doc-1"}
    entry = {"id": "doc-1", "context": {"access": {"team": "blue"}}}
    api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
    assert api.read("doc-1") == {}
    entry["context"] = RED
    api.velt("notifications/update", {"organizationId": "acme", "notifications": [entry]})
    assert api.read("doc-1").keys() == {"doc-1"}


def test_explain_says_that_a_context_was_not_granted(
    api: Api, provider: Service, resolver_environment: dict[str, str]
) -> None:
    narrowed(api)
    env = {
        **resolver_environment,
        "RESOLVER_READ_POLICY": "document",
        "RESOLVER_PERMISSION_URL": provider.url,
    }
    told = CliRunner().invoke(main, ["explain", "acme", "narrowed", "--user", "ben", "--json"], env=env)
    assert json.loads(told.stdout) == {
        "reads": False,
        "policy": "document",
        "why": "they may see the document, but the Permission Provider did not grant every field of "
        "context.access",
    }
