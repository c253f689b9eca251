"""CORS: exact origins on the callbacks, on errors as on successes, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import Api

ORIGIN = "https://app.example.com"
GET = "/api/velt/notifications/get"


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(RESOLVER_CORS_ORIGINS=f"{ORIGIN},http://localhost:3000")


def test_a_preflight_from_an_allowed_origin_needs_no_credential(api: Api) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    reply = api.client.options(GET, headers=asked)
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in reply.headers["access-control-allow-headers"]
    assert reply.headers["access-control-allow-methods"] == "POST"
    assert "Origin" in reply.headers["vary"]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 405, 413, 415])
def test_every_answer_carries_the_headers(api: Api, status: int) -> None:
    headers = {"origin": ORIGIN, "authorization": f"Bearer {api.token('ben', 'acme')}"}
    match status:
        case 404:
            reply = api.post("/api/velt/notifications/nothing", {}, headers)
        case 405:
            reply = api.client.get(GET, headers=headers)
        case 401:
            reply = api.post(GET, {}, {"origin": ORIGIN})
        case 415:
            reply = api.post(GET, {}, {**headers, "content-type": "text/plain"})
        case _:
            reply = api.post(GET, {200: b"{}", 400: b"{", 413: b" " * 2**21}[status], headers)
    assert reply.status_code == status
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in reply.headers["vary"]
    assert "x-request-id" in reply.headers["access-control-expose-headers"]


def test_an_outage_carries_them_too(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_CORS_ORIGINS=ORIGIN, REDIS_URL="redis://127.0.0.1:1/0")
    headers = {"origin": ORIGIN, "authorization": f"Bearer {api.token('ben', 'acme')}"}
    reply = api.post(GET, {"organizationId": "acme", "notificationIds": ["n"]}, headers)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (503, ORIGIN)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "https://appXexample.com",
        "null",
        "*",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
    ],
)
def test_another_origin_gets_nothing_but_vary(api: Api, origin: str) -> None:
    for reply in (
        api.client.options(GET, headers={"origin": origin}),
        api.post(GET, {}, {"origin": origin, "authorization": f"Bearer {api.token('ben', 'acme')}"}),
    ):
        assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]
        assert "Origin" in reply.headers["vary"]


def test_the_other_surfaces_have_no_cors(api: Api) -> None:
    for reply in (
        api.post("/v2/notifications/get", {"data": {}}, {"origin": ORIGIN}),
        api.client.options("/v2/notifications/get", headers={"origin": ORIGIN}),
        api.post("/api/velt/token", {}, {"origin": ORIGIN}),
        api.client.get("/livez", headers={"origin": ORIGIN}),
    ):
        assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]
