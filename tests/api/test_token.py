from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import Api, error_of

PATH = "/api/velt/token"
WANTED = {"userId": "ben", "organizationIds": ["acme"]}


def test_a_backend_gets_a_token_that_opens_the_callbacks(api: Api) -> None:
    api.add()
    reply = api.post(PATH, WANTED).get_json()
    assert reply.keys() == {"token", "expiresAt"}
    assert abs(reply["expiresAt"] - time.time() - 900) < 5
    body = {"organizationId": "acme", "notificationIds": ["n-1"]}
    found = api.post("/api/velt/notifications/get", body, {"authorization": f"Bearer {reply['token']}"})
    assert found.get_json()["data"].keys() == {"n-1"}


@pytest.mark.parametrize("seconds", [60, 86_400])
def test_its_lifetime_can_be_chosen(api: Api, seconds: int) -> None:
    reply = api.post(PATH, {**WANTED, "ttlSeconds": seconds}).get_json()
    assert abs(reply["expiresAt"] - time.time() - seconds) < 5


@pytest.mark.parametrize(
    "changes",
    [
        {"ttlSeconds": 59},
        {"ttlSeconds": 86_401},
        {"ttlSeconds": "900"},
        {"ttlSeconds": True},
        {"userId": ""},
        {"userId": None},
        {"userId": 7},
        {"organizationIds": []},
        {"organizationIds": "acme"},
        {"organizationIds": [1]},
        {"organizationIds": ["o" * 500] * 40},
    ],
)
def test_invalid_token_request_is_refused(api: Api, changes: dict[str, Any]) -> None:
    assert error_of(api.post(PATH, {**WANTED, **changes})) == (400, "INVALID_ARGUMENT")


def test_a_misspelt_lifetime_is_refused_rather_than_made_longer(api: Api) -> None:
    reply = api.post(PATH, {**WANTED, "ttlSecond": 60})
    assert error_of(reply) == (400, "INVALID_ARGUMENT")
    assert "ttlSeconds" in reply.get_json()["error"]["message"]


def test_token_is_minted_only_for_backends(api: Api) -> None:
    assert error_of(api.post(PATH, WANTED, {})) == (401, "UNAUTHENTICATED")
    own = {"authorization": f"Bearer {api.token('ben', 'acme')}"}
    assert error_of(api.post(PATH, WANTED, own)) == (401, "UNAUTHENTICATED")


def test_token_endpoint_fails_without_a_secret(make_api: Callable[..., Api]) -> None:
    assert error_of(make_api(RESOLVER_TOKEN_SECRET="").post(PATH, WANTED)) == (503, "UNAVAILABLE")
