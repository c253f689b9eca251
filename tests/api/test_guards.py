"""Every surface has a guard, and each credential opens its own surface alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resolver.api import guards
from resolver.app import SURFACES, create_app
from resolver.config import load
from tests.support import BACKEND, CALLER_TOKEN, TOKEN_SECRET, VELT_TOKEN, Api, environment, signed

ORIGIN = "https://app.example.com"
VIEWER = {f"/docs/{name}" for name in ("docs.css", "docs.js", "curl.js", "element.js", "schema.js")}
OPEN = {"/livez", "/readyz", "/openapi.json", "/docs", *VIEWER}
METRICS = "metrics-token-for-tests-0123456789abcdef"
PRIVACY = "privacy-token-for-tests-0123456789abcdef"


def test_every_surface_declares_its_guard_and_only_two_are_open_to_anyone() -> None:
    assert {surface.name for surface in SURFACES if surface.guard is guards.anyone} == {"ops", "docs"}


def test_every_route_belongs_to_a_guarded_surface() -> None:
    app = create_app(load(environment()))
    names = {surface.name for surface in SURFACES}
    for rule in app.url_map.iter_rules():
        assert rule.endpoint.split(".")[0] in names, rule


def test_without_a_credential_nothing_but_the_open_paths_answers(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS, RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}")
    for rule in api.client.application.url_map.iter_rules():
        # Served in development alone, to this machine alone: tests/api/test_demo.py.
        if rule.endpoint.startswith("demo."):
            continue
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            reply = api.client.open(rule.rule, method=method)
            assert (reply.status_code == 200) is (rule.rule in OPEN), rule
            assert rule.rule in OPEN or reply.status_code == 401


CREDENTIALS: dict[str, dict[str, str]] = {
    "mirror": BACKEND,
    "callback": {"authorization": f"Bearer {signed('ben', 'acme')}"},
    "cookie": {"cookie": f"session={signed('ben', 'acme')}", "origin": ORIGIN},
    "metrics": {"authorization": f"Bearer {METRICS}"},
    "privacy": {"authorization": f"Bearer {PRIVACY}"},
    "velt": {**BACKEND, "x-velt-auth-token": VELT_TOKEN},
    "velt as a bearer": {"authorization": f"Bearer {VELT_TOKEN}"},
    "the caller's token as a bearer": {"authorization": f"Bearer {CALLER_TOKEN}"},
    "an end user's token as a caller's": {**BACKEND, "x-velt-auth-token": signed("ben", "acme")},
    "the metrics token as a caller's": {**BACKEND, "x-velt-auth-token": METRICS},
    "the token secret": {"authorization": f"Bearer {TOKEN_SECRET}"},
    "nothing": {},
}
OPENED_BY = {
    "mirror": {"mirror"},
    "callback": {"callback", "cookie", "mirror"},
    "token": {"mirror"},
    "metrics": {"metrics"},
    "privacy": {"privacy"},
    "ops": set(CREDENTIALS),
    "docs": set(CREDENTIALS),
    "demo": set(CREDENTIALS),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_each_credential_opens_its_own_surface_and_no_other(make_api: Callable[..., Api], name: str) -> None:
    api = make_api(
        RESOLVER_METRICS_TOKEN=METRICS,
        RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}",
        RESOLVER_TOKEN_COOKIE="session",
        RESOLVER_CORS_ORIGINS=ORIGIN,
    )
    for rule in api.client.application.url_map.iter_rules():
        surface = rule.endpoint.split(".")[0]
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            reply = api.client.open(
                rule.rule,
                method=method,
                data="{",
                headers={**CREDENTIALS[name], "content-type": "application/json"},
            )
            refused = reply.status_code in (401, 403)
            assert refused is (name not in OPENED_BY[surface]), (name, rule, reply.status_code)


@pytest.mark.parametrize("empty", ["Bearer ", "Bearer", "Bearer\t", "", " "])
def test_an_empty_bearer_is_a_missing_credential_in_the_surfaces_own_shape(
    make_api: Callable[..., Api], empty: str
) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS, RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}")
    for path in ("/api/velt/notifications/get", "/privacy/export", "/v2/notifications/get", "/metrics"):
        method = "GET" if path == "/metrics" else "POST"
        reply = api.client.open(path, method=method, json={}, headers={"authorization": empty})
        body = reply.get_json()
        assert (reply.status_code, "success" in body or "error" in body) == (401, True), path
