"""Any bad input is answered with a 4xx in the surface's own shape, never with a 500."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from resolver.velt.client import VeltEndpoint
from tests.support import BACKEND, Api, notification, sendable

CALLBACKS = ["/api/velt/notifications/get", "/api/velt/notifications/delete"]
PATHS = [*(str(endpoint) for endpoint in VeltEndpoint), *CALLBACKS, "/api/velt/token"]

BODIES = {
    "nothing": b"",
    "not JSON": b"hello",
    "half a body": b'{"data":{',
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "a string": b'"data"',
    "NaN": b'{"data":{"organizationId":NaN}}',
    "Infinity": b'{"data":{"organizationId":-Infinity}}',
    "a lone surrogate": b'{"data":{"organizationId":"\\ud800"},"notificationIds":["\\udfff"]}',
    "bytes that are not UTF-8": b'{"data":{"organizationId":"\xff\xfe"}}',
    "a byte order mark": b'\xef\xbb\xbf{"data":{}}',
    "100,000 lists deep": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects deep": b'{"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "100 deep": b'{"data":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}",
    "an integer of 65 bits": b'{"data":{"organizationId":18446744073709551616},"notificationIds":[1]}',
    "a key twice": b'{"organizationId":"acme","organizationId":"zeta","notificationIds":[]}',
    "a key twice, spelt otherwise": b'{"notificationIds":[],"notificationId\\u0073":["n"]}',
    "a key twice, far inside": b'{"data":{"a":[{"b":{"c":1,"d":2,"c":3}}]}}',
    "two mebibytes": b'{"data":{"x":"' + b"x" * 2**21 + b'"}}',
}
UNNEEDED = "/v2/workspace/notificationconfig/get"  # takes no body at all


def in_shape(path: str, reply: TestResponse) -> None:
    """Check the surface's own error shape, and the headers that every answer has."""
    assert 400 <= reply.status_code < 500, (reply.status_code, reply.data)
    body = reply.get_json()
    if path.startswith("/api/velt/notifications/"):
        assert body.keys() == {"success", "statusCode", "message"}
        assert (body["success"], body["statusCode"]) == (False, reply.status_code)
    else:
        assert body.keys() == {"error"}
        assert body["error"].keys() == {"message", "status"}
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-request-id"]
    assert reply.content_type == "application/json"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", BODIES)
def test_a_bad_body_is_a_4xx(api: Api, path: str, kind: str) -> None:
    if path == UNNEEDED and kind == "nothing":
        return  # that one is fine there
    reply = api.post(path, BODIES[kind])
    in_shape(path, reply)
    assert reply.status_code == (413 if kind == "two mebibytes" else 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
)
def test_a_wrong_content_type_is_a_415(api: Api, path: str, content_type: str) -> None:
    reply = api.post(path, {"data": {}}, {**BACKEND, "content-type": content_type})
    if path == UNNEEDED:
        assert reply.status_code == 200
        return
    in_shape(path, reply)
    assert reply.status_code == 415


def test_long_digits_in_a_text_are_no_number(api: Api) -> None:
    text = "1234567890123456789012345"
    api.add(displayBodyMessage=text, exact=18446744073709551615)
    found = api.read("n-1")["n-1"]
    assert (found["displayBodyMessage"], found["exact"]) == (text, 18446744073709551615)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "OPTIONS", "INVENTED"])
def test_a_wrong_method_is_a_405_that_allows_the_right_one(api: Api, path: str, method: str) -> None:
    if method == "OPTIONS" and path in CALLBACKS:
        return  # a preflight
    reply = api.client.open(path, method=method, headers=BACKEND)
    assert reply.status_code == 405
    assert "POST" in reply.headers["allow"]
    if method != "HEAD":
        in_shape(path, reply)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2",
        "/v2/",
        "/v2/notifications",
        "/v2/notifications/add/",
        "//v2/notifications/add",
        "/V2/notifications/add",
        "/v2/notifications/../add",
        "/v2/notifications/add%00",
        "/api/velt/notifications/",
        "/api/velt/notifications/save",
        "/api/velt/notifications/get/",
        "/privacy/nothing",
        "/docs/",
        "/demo/",
        "/static/x",
        "/%ff",
        "/favicon.ico",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_a_404(api: Api, path: str, method: str) -> None:
    reply = api.client.open(path, method=method, headers=BACKEND)
    in_shape(path, reply)
    assert reply.status_code == 404


def test_a_closed_surface_is_a_404(make_api: Any) -> None:
    api = make_api(RESOLVER_SURFACES="callback")
    for path in PATHS:
        reply = api.post(path, {"data": notification()})
        assert (reply.status_code == 404) is (path not in CALLBACKS)
    assert make_api(RESOLVER_SURFACES="mirror").post(CALLBACKS[0], {}).status_code == 404


@pytest.mark.parametrize(
    "given", ["short", "has spaces in it", "x" * 129, "a\u00ff" * 8, "id'\"<script>aaaa"]
)
def test_a_request_id_that_is_not_well_formed_is_replaced(api: Api, given: str) -> None:
    reply = api.client.get("/livez", headers={"x-request-id": given})
    assert reply.headers["x-request-id"] != given


def test_a_well_formed_request_id_is_kept(api: Api) -> None:
    reply = api.client.get("/livez", headers={"x-request-id": "balancer-0123.abc"})
    assert reply.headers["x-request-id"] == "balancer-0123.abc"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KNOWN = [
    "organizationId",
    "documentId",
    "notificationId",
    "notificationIds",
    "notifications",
    "actionUser",
    "userIds",
    "notifyUsers",
    "config",
    "context",
    "location",
    "metadata",
    "userId",
    "documentIds",
    "organizationIds",
    "notificationServiceConfig",
    "useNotificationService",
    "ttlSeconds",
    "isNotificationResolverUsed",
]
payloads = st.dictionaries(st.sampled_from(KNOWN) | st.text(), json_values, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), payload=payloads, wrapped=st.booleans())
def test_no_payload_is_answered_with_a_500(api: Api, path: str, payload: Any, wrapped: bool) -> None:
    body = orjson.dumps(sendable({"data": payload} if wrapped else payload), default=str)
    reply = api.post(path, body)
    assert reply.status_code < 500, reply.data


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=200))
def test_no_bytes_are_answered_with_a_500(api: Api, path: str, body: bytes) -> None:
    assert api.post(path, body).status_code < 500


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80))
def test_no_header_is_answered_with_a_500(api: Api, path: str, value: str) -> None:
    names = ("authorization", "x-velt-api-key", "x-velt-auth-token", "origin", "x-request-id", "content-type")
    for headers in ({name: value} for name in names):
        assert api.post(path, {"data": {}}, {**BACKEND, **headers}).status_code < 500
    assert api.post(path, {"data": {}}, {"authorization": f"Bearer {value}"}).status_code < 500
