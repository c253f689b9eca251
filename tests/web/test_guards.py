"""Every surface has a guard, and each credential opens its own surface alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resolver.app import SURFACES, create_app
from resolver.settings import load
from resolver.web import guards
from tests.support import BACKEND, Api, environment

OPEN = {"/livez", "/readyz"}
METRICS = "metrics-token-for-tests-0123456789abcdef"


def test_every_surface_declares_its_guard_and_only_ops_is_open_to_anyone() -> None:
    assert {surface.name for surface in SURFACES if surface.guard is guards.anyone} == {"ops"}


def test_every_route_belongs_to_a_guarded_surface() -> None:
    app = create_app(load(environment()))
    names = {surface.name for surface in SURFACES}
    for rule in app.url_map.iter_rules():
        assert rule.endpoint.split(".")[0] in names, rule


def test_without_a_credential_nothing_but_the_open_paths_answers(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_METRICS_TOKEN=METRICS)
    for rule in api.client.application.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            reply = api.client.open(rule.rule, method=method)
            assert (reply.status_code == 200) is (rule.rule in OPEN), rule
            assert rule.rule in OPEN or reply.status_code == 401


@pytest.mark.parametrize("path", ["/v2/notifications/get", "/api/velt/token"])
def test_an_end_users_token_opens_no_surface_of_the_backend(api: Api, path: str) -> None:
    token = api.token("ben", "acme")
    for headers in ({"authorization": f"Bearer {token}"}, {**BACKEND, "x-velt-auth-token": token}):
        assert api.post(path, {"data": {}}, headers).status_code in (401, 403)


def test_velts_own_token_opens_nothing(api: Api) -> None:
    velts = {**BACKEND, "x-velt-auth-token": "velt-auth-token-for-tests"}
    for path in ("/v2/notifications/get", "/api/velt/token", "/api/velt/notifications/get"):
        assert api.post(path, {"data": {}}, velts).status_code in (401, 403)
        bearer = {"authorization": "Bearer velt-auth-token-for-tests"}
        assert api.post(path, {"data": {}}, bearer).status_code == 401
