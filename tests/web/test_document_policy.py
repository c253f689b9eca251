"""The document policy through the callback, beside a Permission Provider that is right, slow, wrong, down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.access.test_permissions import answering, later
from tests.servers import Service, running
from tests.support import Api, Velt


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


def test_whoever_may_see_the_document_reads_addressed_or_not(api: Api, provider: Service) -> None:
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
def test_nobody_reads_by_an_answer_that_is_no_yes(api: Api, provider: Service, broken: Any) -> None:
    for name, value in broken.items():
        setattr(provider, name, value)
    assert api.read("doc-1", "doc-2") == {}


def test_while_it_is_slow_what_is_known_is_answered_in_time(api: Api, provider: Service) -> None:
    provider.body = answering("doc-1", "doc-2", expiresAt=later(60))
    assert api.read("doc-1").keys() == {"doc-1"}
    provider.delay = 5
    for _ in range(5):
        started = time.monotonic()
        assert api.read("doc-1", "doc-2").keys() == {"doc-1"}
        assert time.monotonic() - started < 2


def test_while_it_is_down_what_is_known_is_answered(make_api: Callable[..., Api]) -> None:
    down = make_api(
        RESOLVER_READ_POLICY="document",
        RESOLVER_PERMISSION_URL="http://127.0.0.1:1/",
        RESOLVER_TOKEN_DOCUMENTS_CLAIM="organizationIds",
    )
    down.add(notificationId="claimed", documentId="acme")
    down.add(notificationId="asked", documentId="doc-2")
    assert down.read("claimed", "asked").keys() == {"claimed"}


def test_it_is_not_asked_about_what_is_not_held_or_not_theirs(api: Api, provider: Service) -> None:
    api.read("nothing")
    api.read("doc-1", organization="zeta")
    assert provider.requests == []
    api.erase("doc-1", user="ben")
    api.read("doc-1", user="ben")
    assert provider.requests == [], "whoever left reads it under no policy"
