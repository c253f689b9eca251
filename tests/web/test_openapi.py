"""The description of the service is what the service does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest

from resolver.velt.client import Endpoint
from tests.support import BACKEND, Api, notification, signed

METRICS = "metrics-token-for-tests-0123456789abcdef"
JSON = dict[str, Any]


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(RESOLVER_METRICS_TOKEN=METRICS)


@pytest.fixture
def described(api: Api) -> JSON:
    found: JSON = api.client.get("/openapi.json").get_json()
    return found


def operations(described: JSON) -> Iterator[tuple[str, str, JSON]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def test_every_route_is_described_and_nothing_else_is(api: Api, described: JSON) -> None:
    routes = {
        (rule.rule, method)
        for rule in api.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(described)} == routes


def test_every_operation_says_who_may_call_it_and_has_a_name_of_its_own(described: JSON) -> None:
    all_of_them = [operation for _, _, operation in operations(described)]
    schemes = described["components"]["securitySchemes"]
    for operation in all_of_them:
        assert all(name in schemes for either in operation["security"] for name in either)
    assert len({operation["operationId"] for operation in all_of_them}) == len(all_of_them)


def test_every_schema_in_it_is_a_schema(described: JSON) -> None:
    def schemas(value: Any) -> Iterator[JSON]:
        if isinstance(value, dict):
            if isinstance(value.get("schema"), dict):
                yield value["schema"]
            for inner in value.values():
                yield from schemas(inner)

    found = list(schemas(described))
    assert len(found) > 100
    for schema in found:
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def headers_for(operation: JSON) -> dict[str, str]:
    needed = {name for either in operation["security"][:1] for name in either}
    if "metricsToken" in needed:
        return {"authorization": f"Bearer {METRICS}"}
    return {"authorization": f"Bearer {signed('ben', 'acme')}"} if "endUser" in needed else BACKEND


def test_every_example_is_taken_and_its_answer_is_as_described(api: Api, described: JSON) -> None:
    for path, method, operation in operations(described):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if media:
            jsonschema_rs.validate(media["schema"], media["example"])
            reply = api.post(path, media["example"], headers_for(operation))
        else:
            reply = api.client.open(path, method=method, headers=headers_for(operation))
        assert reply.status_code == 200, (path, reply.data)
        conforms(operation, reply)


def conforms(operation: JSON, reply: Any) -> None:
    answer = operation["responses"][str(reply.status_code)]
    (media_type,) = answer["content"]
    assert reply.mimetype == media_type
    body = reply.get_json() if media_type == "application/json" else reply.text
    jsonschema_rs.validate(answer["content"][media_type]["schema"], body)
    for name in answer["headers"]:
        assert name in reply.headers


@pytest.mark.parametrize("headers", [{}, {**BACKEND, "x-velt-auth-token": "wrong"}, BACKEND])
@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"x" * 2**21, b'{"a":1,"a":1}'])
def test_every_refusal_is_as_described(
    api: Api, described: JSON, headers: dict[str, str], body: bytes
) -> None:
    for path, method, operation in operations(described):
        if method == "POST":
            conforms(operation, api.post(path, body, headers))


def test_an_outage_is_as_described(make_api: Callable[..., Api], described: JSON) -> None:
    api = make_api(REDIS_URL="redis://127.0.0.1:1/0", VELT_API_URL="http://127.0.0.1:1")
    item = described["paths"]
    ids = {"organizationId": "acme", "notificationIds": ["n"], "notificationId": "n"}
    asked = {
        str(Endpoint.ADD): {"data": notification()},
        str(Endpoint.WORKSPACE_GET): {"data": {}},
        "/api/velt/notifications/get": ids,
        "/api/velt/notifications/delete": ids,
    }
    for path, body in asked.items():
        reply = api.post(path, body)
        assert reply.status_code == 503, path
        conforms(item[path]["post"], reply)
    ready = api.client.get("/readyz")
    assert ready.status_code == 503
    conforms(item["/readyz"]["get"], ready)


def test_in_production_it_is_served_only_where_it_is_asked_for(make_api: Callable[..., Api]) -> None:
    production = make_api(RESOLVER_MODE="production")
    assert production.client.get("/openapi.json").status_code == 404
    listed = make_api(RESOLVER_MODE="production", RESOLVER_SURFACES="callback,docs")
    assert listed.client.get("/openapi.json").status_code == 200
