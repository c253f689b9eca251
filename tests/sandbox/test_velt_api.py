"""Credentials, the wrapper, unknown paths and methods: what every endpoint of Velt's has in common."""

import orjson
import pytest

from tests.sandbox.conftest import CREDENTIALS, Control, Velt, notification

ADD = "/v2/notifications/add"
PATHS = [
    ADD,
    "/v2/notifications/update",
    "/v2/notifications/get",
    "/v2/notifications/delete",
    "/v2/notifications/config/set",
    "/v2/notifications/config/get",
    "/v2/workspace/notificationconfig/get",
    "/v2/workspace/notificationconfig/update",
]
DENIED = {"error": {"message": "Invalid API key.", "status": "PERMISSION_DENIED"}}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-velt-api-key": CREDENTIALS["x-velt-api-key"]},
        {"x-velt-auth-token": CREDENTIALS["x-velt-auth-token"]},
        {**CREDENTIALS, "x-velt-api-key": "wrong"},
        {**CREDENTIALS, "x-velt-auth-token": "wrong"},
        {**CREDENTIALS, "x-velt-auth-token": "\xe4"},
    ],
)
def test_missing_and_wrong_credentials_are_denied_in_the_documented_words(
    velt: Velt, path: str, headers: dict[str, str]
) -> None:
    reply = velt.send("POST", path, b'{"data":{}}', **headers)
    assert (reply.code, reply.body) == (403, DENIED)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"\xff\xfe",
        b'{"data":null}',
        b'{"data":[]}',
        b'{"data":{"a":NaN}}',
        b'{"data":"\\ud800"}',
        b'{"data":' + b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_wrapped_json_is_an_invalid_argument(velt: Velt, path: str, body: bytes) -> None:
    reply = velt.raw(path, body)
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("body", [b"", b"{}", orjson.dumps(notification())])
def test_data_is_required_around_the_payload(velt: Velt, body: bytes) -> None:
    assert velt.raw(ADD, body).error["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "path",
    ["/", "/v1/notifications/add", "/v2", "/v2/", "/v2/users/get", f"{ADD}/", "/v2//notifications/add"],
)
def test_an_unknown_path_is_not_found_in_velts_shape(velt: Velt, path: str) -> None:
    reply = velt.raw(path, b'{"data":{}}')
    assert (reply.code, reply.error["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_wrong_method_is_refused_and_told_the_right_one(velt: Velt, path: str, method: str) -> None:
    reply = velt.send(method, path, b"", **CREDENTIALS)
    assert (reply.code, reply.error["status"], reply.headers["Allow"]) == (405, "INVALID_ARGUMENT", "POST")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_the_content_type_does_not_matter(velt: Velt, content_type: str) -> None:
    body = orjson.dumps({"data": notification()})
    headers = {**CREDENTIALS, "content-type": content_type}
    assert velt.send("POST", ADD, body, **headers).code == 200


def test_a_chunked_body_is_read_like_any_other(velt: Velt, control: Control) -> None:
    body = orjson.dumps({"data": notification(notificationId="n1")})
    answer = velt.pool.request(
        "POST", velt.url + ADD, body=iter([body[:10], body[10:]]), headers=CREDENTIALS, chunked=True
    )
    assert answer.status == 200
    assert list(control.stored()) == ["n1"]
