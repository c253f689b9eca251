"""Every surface has a guard, and each credential opens its own surface alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from werkzeug import Request
from werkzeug.test import create_environ

from resolver.api import guards
from resolver.app import SURFACES, create_app
from resolver.auth.callers import Backend, PrivacyOperator
from resolver.auth.claims import EndUser
from resolver.config import load
from resolver.errors import NotFound, PermissionDenied, TooManyCalls, Unauthenticated
from resolver.wiring import Services
from tests.support import (
    API_KEY,
    BACKEND,
    CALLER_TOKEN,
    TOKEN_SECRET,
    VELT_TOKEN,
    Api,
    environment,
    signed,
)

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


def request(
    headers: Mapping[str, str] | None = None,
    *,
    host: str = "127.0.0.1:8080",
    address: str | None = "127.0.0.1",
    method: str = "POST",
) -> Request:
    """A request as the server hands it to a guard."""
    environ = create_environ(method=method, headers=dict(headers or {}))
    environ["HTTP_HOST"] = host
    if address is not None:
        environ["REMOTE_ADDR"] = address
    return Request(environ)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


BEN = EndUser("ben", frozenset({"acme"}))
COOKIE = {"cookie": f"session={signed('ben', 'acme')}", "origin": ORIGIN}


@pytest.fixture
def guarded(make_api: Callable[..., Api]) -> Services:
    """Services with a credential for each surface."""
    return make_api(
        RESOLVER_METRICS_TOKEN=METRICS,
        RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}",
        RESOLVER_TOKEN_COOKIE="session",
        RESOLVER_CORS_ORIGINS=ORIGIN,
    ).services


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8081", "[::1]:8080", "[::1]"])
def test_guard_of_this_machine_accepts_loopback_under_local_names(
    services: Services, host: str, address: str
) -> None:
    guards.this_machine(services, request(host=host, address=address))


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "not an address", "", None])
def test_guard_of_this_machine_refuses_other_addresses(services: Services, address: str | None) -> None:
    with pytest.raises(NotFound):
        guards.this_machine(services, request(host="localhost", address=address))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1:", "127.0.0.1:x", ""])
def test_guard_of_this_machine_refuses_foreign_host_names(services: Services, host: str) -> None:
    with pytest.raises(NotFound):
        guards.this_machine(services, request(host=host))


def test_guard_of_this_machine_refuses_a_request_without_a_host(services: Services) -> None:
    without = request()
    del without.environ["HTTP_HOST"]
    with pytest.raises(NotFound):
        guards.this_machine(services, without)


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip"])
def test_guard_of_this_machine_refuses_proxied_requests(services: Services, header: str) -> None:
    with pytest.raises(NotFound):
        guards.this_machine(services, request({header: "127.0.0.1"}))


def test_guard_returns_the_caller_of_its_surface(guarded: Services) -> None:
    """Under the token's name in the settings, or as the token says: audit lines and rights depend on it."""
    assert guards.authorize(guards.backend, guarded, request(BACKEND)) == Backend("backend")
    assert guards.authorize(guards.privacy, guarded, request(bearer(PRIVACY))) == PrivacyOperator("dpo")
    assert guards.authorize(guards.reader, guarded, request(bearer(signed("ben", "acme")))) == BEN
    assert guards.authorize(guards.reader, guarded, request(BACKEND)) == Backend("backend")
    assert guards.authorize(guards.reader, guarded, request(COOKIE)) == BEN


def test_bearer_scheme_is_accepted_in_any_case_and_with_spaces(guarded: Services) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        guards.prometheus(guarded, request({"authorization": f"{scheme}  {METRICS} "}))
    for other in ("Basic", "Bearer:", ""):
        with pytest.raises(Unauthenticated):
            guards.prometheus(guarded, request({"authorization": f"{other} {METRICS}"}))


def test_guards_without_a_configured_token_close_their_surface(make_api: Callable[..., Api]) -> None:
    """The metrics are open in development; nothing else ever is."""
    development, production = make_api().services, make_api(RESOLVER_MODE="production").services
    for services in (development, production):
        with pytest.raises(NotFound):
            guards.privacy(services, request(bearer(PRIVACY)))
    with pytest.raises(NotFound):
        guards.prometheus(production, request(bearer(METRICS)))
    guards.prometheus(development, request())


@pytest.mark.parametrize(("guard", "other"), [(guards.privacy, METRICS), (guards.prometheus, PRIVACY)])
def test_guard_denies_the_token_of_another_surface(
    guarded: Services, guard: guards.SurfaceGuard, other: str
) -> None:
    for token in (other, CALLER_TOKEN, VELT_TOKEN):
        with pytest.raises(PermissionDenied):
            guard(guarded, request(bearer(token)))


def test_reader_guard_answers_every_failure_with_the_same_error(guarded: Services) -> None:
    failures = [
        {},
        bearer("nonsense"),
        {"authorization": "Basic x"},
        {"x-velt-api-key": API_KEY},
        {"x-velt-auth-token": CALLER_TOKEN},
        {**BACKEND, "x-velt-auth-token": "wrong"},
        {**COOKIE, "origin": "https://evil.example.com"},
    ]
    messages = set()
    for headers in failures:
        with pytest.raises(Unauthenticated) as caught:
            guards.reader(guarded, request(headers))
        messages.add(str(caught.value))
    assert messages == {"A valid credential is required."}


def test_reader_guard_lets_a_preflight_pass_without_a_caller(guarded: Services) -> None:
    assert guards.reader(guarded, request(method="OPTIONS")) is None


def test_only_the_first_credential_present_decides(guarded: Services) -> None:
    """In the order bearer, backend headers, cookie."""
    wrong = {**BACKEND, "x-velt-auth-token": "wrong"}
    half = [{"x-velt-api-key": API_KEY}, {"x-velt-auth-token": CALLER_TOKEN}]
    refused = [{**bearer("nonsense"), **BACKEND}, *({**one, **COOKIE} for one in (bearer("x"), wrong, *half))]
    for headers in refused:
        with pytest.raises(Unauthenticated):
            guards.reader(guarded, request(headers))
    ana = bearer(signed("ana", "acme"))
    assert guards.reader(guarded, request({**ana, **wrong, **COOKIE})) == EndUser("ana", BEN.organizations)
    assert guards.reader(guarded, request({**BACKEND, **COOKIE})) == Backend("backend")


def test_cookie_is_a_credential_only_where_one_is_configured(make_api: Callable[..., Api]) -> None:
    services = make_api(RESOLVER_CORS_ORIGINS=ORIGIN).services
    for cookie in (COOKIE["cookie"], f"={signed('ben', 'acme')}", f"None={signed('ben', 'acme')}"):
        with pytest.raises(Unauthenticated):
            guards.reader(services, request({**COOKIE, "cookie": cookie}))


def test_refused_attempts_of_one_address_are_limited(make_api: Callable[..., Api]) -> None:
    services = make_api(RESOLVER_RATE_LIMIT="2/minute").services

    def fail(address: str | None) -> None:
        guards.authorize(
            guards.backend, services, request({**BACKEND, "x-velt-auth-token": "x"}, address=address)
        )

    for address in ("192.0.2.7", "192.0.2.8", None):
        for _ in range(2):
            with pytest.raises(PermissionDenied):
                fail(address)
        with pytest.raises(TooManyCalls):
            fail(address)
    accepted = guards.authorize(guards.backend, services, request(BACKEND, address="192.0.2.7"))
    assert accepted == Backend("backend")


def test_refused_attempts_are_not_limited_without_a_limit(services: Services) -> None:
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            guards.authorize(guards.backend, services, request())
