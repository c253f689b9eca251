"""The service does what its OpenAPI description says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from resolver.velt.client import VeltEndpoint
from tests.api.described import END_USER, METRICS, PRIVACY, conforms, credential, operations
from tests.support import BACKEND, JSON, Api, Velt, notification

CALLBACKS = "/api/velt/notifications/"
WRONG: tuple[Any, ...] = ({}, [], None, {"result": {}}, {"success": True, "statusCode": 418})
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"}


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(RESOLVER_METRICS_TOKEN=METRICS, RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}")


@pytest.fixture
def described(api: Api) -> JSON:
    found: JSON = api.client.get("/openapi.json").get_json()
    return found


def test_every_route_is_described_and_nothing_else_is(api: Api, described: JSON) -> None:
    routes = {
        (rule.rule.replace("<id_>", "{erasureId}"), method)
        for rule in api.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # Resources of the pages are not described, and production doesn't serve the demo.
        if not rule.rule.endswith((".js", ".css")) and not rule.endpoint.startswith("demo.")
    }
    assert {(path, method) for path, method, _ in operations(described)} == routes


def test_every_operation_says_who_may_call_it_and_has_a_name_of_its_own(described: JSON) -> None:
    all_of_them = [operation for _, _, operation in operations(described)]
    schemes = described["components"]["securitySchemes"]
    for operation in all_of_them:
        assert all(name in schemes for either in operation["security"] for name in either)
    assert len({operation["operationId"] for operation in all_of_them}) == len(all_of_them)


def test_it_is_openapi_and_every_schema_in_it_is_a_schema(described: JSON) -> None:
    schemathesis.openapi.from_dict(described).validate()
    for _, _, operation in operations(described):
        for schema in schemas(operation):
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def schemas(operation: JSON) -> Iterator[JSON]:
    for message in (operation.get("requestBody", {"content": {}}), *operation["responses"].values()):
        yield from (media["schema"] for media in message["content"].values())


def test_every_body_and_every_success_has_an_example_that_is_as_described(described: JSON) -> None:
    for path, _, operation in operations(described):
        (success,) = [answer for status, answer in operation["responses"].items() if status[0] == "2"]
        for message in (*filter(None, [operation.get("requestBody")]), success):
            for media in message["content"].values():
                assert "example" in media, path
                jsonschema_rs.validate(media["schema"], media["example"])
        for parameter in operation.get("parameters", ()):
            jsonschema_rs.validate(parameter["schema"], parameter["example"])


def test_no_answer_is_so_loosely_described_that_anything_passes(described: JSON) -> None:
    for path, _, operation in operations(described):
        for status, answer in operation["responses"].items():
            for wrong in WRONG:
                (media,) = answer["content"].values()
                is_itself = path == "/openapi.json" and isinstance(wrong, dict) and status == "200"
                assert is_itself or not jsonschema_rs.is_valid(media["schema"], wrong), (path, status)


def test_every_example_is_taken_and_its_answer_is_as_described(api: Api, described: JSON) -> None:
    for path, method, operation in operations(described):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if media:
            jsonschema_rs.validate(media["schema"], media["example"])
            reply = api.post(path, media["example"], credential(operation))
        else:
            reply = api.client.open(path, method=method, headers=credential(operation))
        # No erasure has this id, so the answer is the described 404.
        assert reply.status_code == (404 if "{" in path else 202 if path.endswith("erase") else 200), path
        conforms(operation, reply)


def test_every_example_is_taken_with_its_example_headers(api: Api, described: JSON) -> None:
    """A reader of the page who fills in the whole form sends them together."""
    for path, _, operation in operations(described):
        headers = {
            each["name"]: each["example"]
            for each in operation.get("parameters", ())
            if each["in"] == "header"
        }
        if headers:
            example = operation["requestBody"]["content"]["application/json"]["example"]
            reply = api.post(path, example, {**credential(operation), **headers})
            assert reply.status_code == 200, reply.data


def test_an_answer_is_described_with_the_fields_of_its_own_call_alone(described: JSON) -> None:
    added = {}
    for endpoint in VeltEndpoint:
        answer = described["paths"][endpoint]["post"]["responses"]["200"]["content"]["application/json"]
        added[endpoint] = set(answer["schema"]["properties"]["result"]["properties"]) - {
            "status",
            "message",
            "data",
        }
    assert added == {
        VeltEndpoint.ADD: set(),
        VeltEndpoint.UPDATE: {"warnings"},
        VeltEndpoint.GET: {"pageToken", "warnings"},
        VeltEndpoint.DELETE: {"kept"},
        VeltEndpoint.CONFIG_SET: set(),
        VeltEndpoint.CONFIG_GET: {"warnings"},
        VeltEndpoint.WORKSPACE_GET: {"warnings"},
        VeltEndpoint.WORKSPACE_UPDATE: set(),
    }


@pytest.mark.parametrize("headers", [{}, {**BACKEND, "x-velt-auth-token": "wrong"}, BACKEND])
@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"x" * 2**21, b'{"a":1,"a":1}'])
def test_every_refusal_is_as_described(
    api: Api, described: JSON, headers: dict[str, str], body: bytes
) -> None:
    for path, method, operation in operations(described):
        if method == "POST":
            conforms(operation, api.post(path, body, headers))


def test_a_method_that_is_not_described_is_a_405_in_the_surfaces_shape(api: Api, described: JSON) -> None:
    for path, item in described["paths"].items():
        served = {method.upper() for method in item}
        served |= {"HEAD"} if "GET" in served else set()
        preflight = {"OPTIONS"} if path.startswith(CALLBACKS) else set()
        for method in METHODS - served - preflight:
            reply = api.client.open(path, method=method, headers=BACKEND)
            assert (reply.status_code, set(reply.headers["allow"].split(", "))) == (405, served | preflight)
            shape = {"success", "statusCode", "message"} if path.startswith(CALLBACKS) else {"error"}
            assert method == "HEAD" or reply.get_json().keys() == shape


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "errorStatus": "FAILED_PRECONDITION"},
        {"status": 404, "errorStatus": "NOT_FOUND"},
        {"status": 409, "errorStatus": "ALREADY_EXISTS"},
        {"status": 422, "errorStatus": "INVALID_ARGUMENT"},
        {"retryAfter": 7},
        {"body": {"error": {"status": "ABORTED", "message": "no", "details": [], "code": 10}}},
    ],
)
def test_velts_own_refusal_is_as_described(api: Api, velt: Velt, described: JSON, fault: JSON) -> None:
    path = str(VeltEndpoint.WORKSPACE_GET)
    velt.break_with(**fault, count=1)
    reply = api.post(path, {"data": {}})
    assert 400 <= reply.status_code < 500
    conforms(described["paths"][path]["post"], reply)


def test_too_many_calls_and_a_deletion_left_to_backends_are_as_described(
    make_api: Callable[..., Api], described: JSON
) -> None:
    api = make_api(RESOLVER_RATE_LIMIT="1/minute", RESOLVER_DELETE_POLICY="backend")
    ids = {"organizationId": "acme", "notificationIds": ["n"], "notificationId": "n"}
    for name, status in (("delete", 403), ("get", 429)):
        reply = api.post(CALLBACKS + name, ids, END_USER)
        assert reply.status_code == status
        conforms(described["paths"][CALLBACKS + name]["post"], reply)


def test_an_outage_is_as_described(make_api: Callable[..., Api], described: JSON) -> None:
    api = make_api(REDIS_URL="redis://127.0.0.1:1/0", VELT_API_URL="http://127.0.0.1:1")
    item = described["paths"]
    ids = {"organizationId": "acme", "notificationIds": ["n"], "notificationId": "n"}
    asked = {
        str(VeltEndpoint.ADD): {"data": notification()},
        str(VeltEndpoint.WORKSPACE_GET): {"data": {}},
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
    listed = make_api(RESOLVER_MODE="production", RESOLVER_SURFACES="callback,docs")
    for path in ("/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css"):
        assert (production.client.get(path).status_code, listed.client.get(path).status_code) == (404, 200)


def test_a_host_that_is_too_long_for_one_is_answered_as_described(api: Api, described: JSON) -> None:
    """Flask's router refuses it; the hot-path router doesn't ask for the host."""
    for path, method, operation in operations(described):
        reply = api.client.open(path, method=method, headers={"host": "a" * 300})
        assert reply.status_code in (400, 401)
        conforms(operation, reply)
