"""The token in a cookie: for allowed origins alone, since a browser sends a cookie for any page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from tests.support import BACKEND, Api, signed

ORIGIN = "https://app.example.com"
GET, DELETE = "/api/velt/notifications/get", "/api/velt/notifications/delete"
BODY = {"organizationId": "acme", "notificationIds": ["n-1"], "notificationId": "n-1"}
NAME = "__Host-resolver"


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    api = make_api(RESOLVER_TOKEN_COOKIE=NAME, RESOLVER_CORS_ORIGINS=ORIGIN)
    api.add()
    return api


def ask(api: Api, cookie: str, origin: str | None = ORIGIN, path: str = GET, **headers: str) -> TestResponse:
    given = {"cookie": cookie, **({"origin": origin} if origin else {}), **headers}
    return api.post(path, BODY, given)


def test_allowed_page_reads_with_its_cookie(api: Api) -> None:
    reply = ask(api, f"other=1; {NAME}={signed('ben', 'acme')}; more=2")
    assert reply.get_json()["data"].keys() == {"n-1"}
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert reply.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("path", [GET, DELETE])
@pytest.mark.parametrize(
    "origin", [None, "", "null", "https://evil.example.com", "https://app.example.com.evil.com", f"{ORIGIN}/"]
)
def test_cookie_is_refused_from_other_pages(api: Api, path: str, origin: str | None) -> None:
    reply = ask(api, f"{NAME}={signed('ben', 'acme')}", origin, path)
    assert reply.status_code == 401
    assert "access-control-allow-credentials" not in reply.headers
    assert api.read("n-1")


def test_two_cookies_of_the_same_name_are_refused(api: Api) -> None:
    mine, planted = signed("ben", "acme"), signed("eve", "acme")
    for cookie in (f"{NAME}={planted}; {NAME}={mine}", f"{NAME}={mine}; {NAME}={planted}"):
        assert ask(api, cookie).status_code == 401


@pytest.mark.parametrize("cookie", ["", "resolver=x", f"{NAME}=", f"{NAME}=nonsense"])
def test_wrong_or_missing_cookie_is_refused(api: Api, cookie: str) -> None:
    assert ask(api, cookie).status_code == 401


def test_authorization_header_takes_precedence_over_the_cookie(api: Api) -> None:
    good = f"{NAME}={signed('ben', 'acme')}"
    assert ask(api, good, authorization="Bearer nonsense").status_code == 401
    assert ask(api, good, **{**BACKEND, "x-velt-auth-token": "wrong"}).status_code == 401
    reader = ask(api, f"{NAME}={signed('zoe', 'acme')}", authorization=f"Bearer {signed('ben', 'acme')}")
    assert reader.get_json()["data"].keys() == {"n-1"}


def test_only_json_bodies_are_accepted_so_that_forms_cannot_call(api: Api) -> None:
    good = f"{NAME}={signed('ben', 'acme')}"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask(api, good, path=DELETE, **{"content-type": kind}).status_code == 415


def test_cookie_is_ignored_without_cookie_mode(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(RESOLVER_CORS_ORIGINS=ORIGIN)
    reply = ask(api, f"{NAME}={signed('ben', 'acme')}")
    assert reply.status_code == 401
    assert "access-control-allow-credentials" not in reply.headers


def test_a_preflight_allows_credentials_to_pages_of_ours_alone(api: Api) -> None:
    ours = api.client.options(GET, headers={"origin": ORIGIN})
    theirs = api.client.options(GET, headers={"origin": "https://evil.example.com"})
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert not [name for name, _ in theirs.headers if name.lower().startswith("access-control")]
