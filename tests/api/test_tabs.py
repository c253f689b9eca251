"""The rows of Velt's tabs that stay blank under each read policy, as docs/frontend.md says. The rows are the
sandbox's, the content is the data provider's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import Api, Velt, signed

GET = "/api/velt/notifications/get"
TO_ZOE = [{"userId": "zoe"}]


@pytest.fixture
def make(make_api: Callable[..., Api], velt: Velt) -> Callable[..., Api]:
    """A resolver with a read policy, and Ben's feed: his notifications, other people's, and narrowed ones."""

    def make(**changes: str) -> Api:
        api = make_api(**changes)
        ben = {"ben": {"context": {"team": "deals"}}}
        velt.control("POST", "access", {"organizations": {"acme": {"users": ben}}})
        api.add(notificationId="to-ben")
        api.add(notificationId="by-ben", actionUser={"userId": "ben"}, notifyUsers=TO_ZOE)
        api.add(notificationId="to-zoe", notifyUsers=TO_ZOE)
        narrowed = {"notifyAll": True, "context": {"access": {"team": "deals"}}}
        api.add(notificationId="narrowed", notifyUsers=TO_ZOE, **narrowed)
        api.add(notificationId="narrowed-to-ben", **narrowed)
        return api

    return make


def blank(api: Api, velt: Velt) -> tuple[set[str], set[str]]:
    """The blank rows of *For You*, and of *Documents* and *All*."""
    rows = {item["id"]: item["forYou"] for item in velt.inbox("ben")}
    assert len(rows) == 5
    token = signed("ben", "acme", docs=["doc-1"])
    body = {"organizationId": "acme", "notificationIds": list(rows)}
    found = api.post(GET, body, {"authorization": f"Bearer {token}"}).get_json()["data"]
    absent = rows.keys() - found.keys()
    return {id_ for id_ in absent if rows[id_]}, absent


def test_recipients_see_for_you_but_for_what_is_narrowed_and_little_of_the_other_tabs(
    make: Callable[..., Api], velt: Velt
) -> None:
    assert blank(make(), velt) == ({"narrowed"}, {"narrowed", "to-zoe"})


def test_who_sees_the_document_sees_every_tab_but_what_a_context_narrows_that_the_claim_cannot_judge(
    make: Callable[..., Api], velt: Velt
) -> None:
    api = make(RESOLVER_READ_POLICY="document", RESOLVER_TOKEN_DOCUMENTS_CLAIM="docs")
    narrowed = {"narrowed", "narrowed-to-ben"}
    assert blank(api, velt) == (narrowed, narrowed)


def test_the_organization_sees_every_tab(make: Callable[..., Api], velt: Velt) -> None:
    assert blank(make(RESOLVER_READ_POLICY="organization"), velt) == (set(), set())
