"""The hot-path router is an optimization: Flask alone answers every request alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from werkzeug.test import EnvironBuilder, run_wsgi_app

from resolver.app import create_app
from resolver.store.keyspace import RECORD_PATTERN
from tests.support import BACKEND, Api, Velt, keys_of, notification

GET = "/api/velt/notifications/get"
MIRROR = "/v2/notifications/"
JSON_TYPE = {"content-type": "application/json"}
REQUEST_ID = "request-id-0123456789"
Reply = tuple[str, dict[str, str], bytes]
ORIGIN = "https://app.example.com"
NAMES = ["data", "organizationId", "notificationIds", "metadata", "clientOrganizationId"]


def asked(**changes: Any) -> bytes:
    return orjson.dumps({"organizationId": "acme", "notificationIds": ["n-1", "n-2", "nowhere"], **changes})


class Both(NamedTuple):
    """One resolver, with and without the hot-path router."""

    api: Api
    router: Flask
    flask: Flask

    @classmethod
    def of(cls, api: Api) -> Both:
        services = api.services
        router, flask = (create_app(services.settings, services, hot_path=hot) for hot in (True, False))
        return cls(api, router, flask)


@pytest.fixture
def both(make_api: Callable[..., Api], tmp_path: Path) -> Both:
    api = make_api(
        RESOLVER_CORS_ORIGINS=ORIGIN,
        RESOLVER_TOKEN_COOKIE="session",
        RESOLVER_AUDIT_LOG=str(tmp_path / "audit.log"),
        RESOLVER_WITHHELD_HEADLINE="Something happened",
    )
    api.add()
    api.add(notificationId="n-2", notifyUsers=[{"userId": "somebody-else"}])
    return Both.of(api)


def environ(body: bytes, headers: Mapping[str, str], path: str = GET, **changes: Any) -> dict[str, Any]:
    made = EnvironBuilder(path=path, method="POST", data=body, headers=list(headers.items())).get_environ()
    return {**made, "HTTP_X_REQUEST_ID": REQUEST_ID, **changes}


def reply(app: Any, wanted: dict[str, Any]) -> Reply:
    body, status, headers = run_wsgi_app(
        app, {**wanted, "wsgi.input": BytesIO(wanted["wsgi.input"].getvalue())}
    )
    return status, dict(headers), b"".join(body)


def same_on_both(both: Both, wanted: dict[str, Any]) -> Reply:
    by_flask, by_router = reply(both.flask, wanted), reply(both.router, wanted)
    assert by_router == by_flask
    return by_router


def bearer(api: Api, user: str = "ben") -> dict[str, str]:
    return {"authorization": f"Bearer {api.token(user, 'acme')}", "content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        asked(),
        asked(notificationIds=[]),
        asked(notificationIds=["n-1", "n-1", 7]),
        asked(organizationId="another"),
        asked(organizationId=""),
        orjson.dumps({"data": {"organizationId": "acme", "notificationIds": ["n-1"]}}),
        orjson.dumps({"notificationIds": ["n-1"]}),
        asked(notificationIds="n-1"),
        asked(notificationIds=[None]),
        asked(notificationIds=["n"] * 1001),
        b"",
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        b"\xff",
        b"[" * 100,
    ],
)
def test_hot_path_answers_any_read_like_flask(both: Both, body: bytes) -> None:
    same_on_both(both, environ(body, bearer(both.api)))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer nobody's"},
        {"authorization": "Bearer"},
        {"authorization": "Basic YTpi"},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-8"},
        {"origin": ORIGIN},
        {"origin": "https://evil.example.com"},
        {"authorization": "", "cookie": "session=nobody's", "origin": ORIGIN},
        BACKEND,
    ],
)
def test_hot_path_answers_any_reader_like_flask(both: Both, headers: dict[str, str]) -> None:
    own = (
        bearer(both.api)
        if headers.keys() <= {"content-type", "origin"}
        else {"content-type": "application/json"}
    )
    same_on_both(both, environ(asked(), {**own, **headers}))


@pytest.mark.parametrize(
    "changes",
    [
        {"CONTENT_LENGTH": "1"},
        {"CONTENT_LENGTH": "999999999"},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": "٣"},
        {"CONTENT_LENGTH": ""},
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        {"QUERY_STRING": "a=b"},
        {"HTTP_X_REQUEST_ID": "bad id\n"},
    ],
)
def test_hot_path_answers_any_transport_like_flask(both: Both, changes: dict[str, Any]) -> None:
    wanted = environ(asked(), bearer(both.api), **changes)
    if "HTTP_X_REQUEST_ID" not in changes:
        same_on_both(both, wanted)
        return
    status, headers, _ = reply(both.router, wanted)
    assert status == "200 OK"
    assert len(headers["X-Request-Id"]) == 32


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers(-10, 10) | st.sampled_from(["acme", "n-1", "n-2", ""]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_hot_path_answers_any_json_like_flask(both: Both, body: Any) -> None:
    same_on_both(both, environ(orjson.dumps(body), bearer(both.api)))


def test_hot_path_audits_a_read_like_flask(both: Both, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    before = len(log.read_bytes().splitlines())
    same_on_both(both, environ(asked(), bearer(both.api)))
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()[before:]]
    about = [
        {name: value for name, value in line.items() if name not in ("seq", "at", "hash")}
        for line in lines
        if line.get("request") == REQUEST_ID
    ]
    assert len(about) == 2
    assert about[0] == about[1]
    assert (about[0]["ids"], about[0]["denied"], about[0]["absent"]) == (["n-1"], ["n-2"], 1)


def test_the_router_answers_reads_and_adds_before_flask_does(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    routed: list[str] = []
    flask_alone = Flask.wsgi_app

    def noting(self: Flask, environ: dict[str, Any], start_response: Any) -> Any:
        if "resolver" in self.extensions:  # the sandbox is a Flask application too
            routed.append(environ["PATH_INFO"])
        return flask_alone(self, environ, start_response)

    read = environ(asked(), bearer(both.api))
    add = environ(orjson.dumps({"data": notification()}), {**JSON_TYPE, **BACKEND}, MIRROR + "add")
    monkeypatch.setattr(Flask, "wsgi_app", noting)
    router = Both.of(both.api).router
    for wanted in (read, add, environ(asked(), JSON_TYPE)):
        reply(router, wanted)
    assert routed == []
    reply(router, environ(b"", {}, "/nowhere"))
    assert routed == ["/nowhere"]


def test_a_damaged_record_is_absent_with_either(both: Both, redis: Redis) -> None:
    for name in keys_of(redis, RECORD_PATTERN):
        redis.set(name, b"\x01damaged")
    _, _, body = same_on_both(both, environ(asked(), bearer(both.api)))
    assert notification()["displayBodyMessage"].encode() not in body


UPDATE = {"notificationId": "n-1", "displayBodyMessage": "another"}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("add", {"data": notification()}),
        ("add", {"data": notification(notifyAll=True, createdAt=1)}),
        ("add", {"data": {"organizationId": "acme"}}),
        ("add", {"data": None}),
        ("add", notification()),
        ("add", []),
        ("update", {"data": {"organizationId": "acme", "notifications": [UPDATE]}}),
        ("update", {"data": {"organizationId": "acme", "notifications": [{"notificationId": "unknown"}]}}),
        ("get", {"data": {"organizationId": "acme", "notificationIds": ["n-1", "unknown"]}}),
        ("get", {"data": {"organizationId": "acme", "userId": "ben"}}),
        ("get", {"data": {}}),
        ("delete", {"data": {"organizationId": "acme", "notificationIds": ["unknown"]}}),
        ("delete", {"data": {"organizationId": "acme", "notificationIds": []}}),
    ],
)
def test_hot_path_answers_any_backend_call_like_flask(both: Both, endpoint: str, body: Any) -> None:
    same_on_both(both, environ(orjson.dumps(body), {**JSON_TYPE, **BACKEND}, MIRROR + endpoint))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**BACKEND, "x-velt-api-key": "another"},
        {**BACKEND, "x-velt-auth-token": "another"},
        {"x-velt-api-key": BACKEND["x-velt-api-key"]},
        {**BACKEND, "content-type": "text/plain"},
        {**BACKEND, "origin": ORIGIN},
    ],
)
def test_hot_path_answers_any_backend_like_flask(both: Both, headers: dict[str, str]) -> None:
    body = orjson.dumps({"data": notification()})
    same_on_both(both, environ(body, {**JSON_TYPE, **headers}, MIRROR + "add"))


def test_hot_path_handles_a_failed_write_like_flask(both: Both, velt: Velt, tmp_path: Path) -> None:
    velt.break_with(status=400, errorStatus="FAILED_PRECONDITION", message="Velt's own words")
    log = tmp_path / "audit.log"
    before, told = len(log.read_bytes().splitlines()), len(velt.ledger(MIRROR + "add"))
    body = orjson.dumps({"data": notification(notificationId="n-3")})
    status, _, said = same_on_both(both, environ(body, {**JSON_TYPE, **BACKEND}, MIRROR + "add"))
    assert (status, b"Velt's own words" in said) == ("400 BAD REQUEST", True)
    assert len(velt.ledger(MIRROR + "add")) - told == 2
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()[before:]]
    outcomes = [(line["action"], line["outcome"]) for line in lines if line.get("request") == REQUEST_ID]
    assert outcomes == [("add", "ok"), ("add", "failed")] * 2


@pytest.mark.parametrize("status", [419, 460, 499])
def test_a_refusal_of_velts_with_a_number_without_a_name_is_answered_alike(
    both: Both, velt: Velt, status: int
) -> None:
    velt.break_with(status=status, errorStatus="NO_SUCH_THING")
    body = orjson.dumps({"data": {"organizationId": "acme", "userId": "ben"}})
    wanted = environ(body, {**JSON_TYPE, **BACKEND}, MIRROR + "config/get")
    assert same_on_both(both, wanted)[0].startswith(str(status))


def test_a_write_that_fails_unforeseen_is_tried_once_and_answered_in_our_shape(
    both: Both, velt: Velt, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def breaks(*_anything: object) -> None:
        tried.append(1)
        raise RuntimeError("CANARY")

    monkeypatch.setattr("resolver.notifications.add.split_add", breaks)
    body = orjson.dumps({"data": notification()})
    wanted = environ(body, {**JSON_TYPE, **BACKEND}, MIRROR + "add")
    status, _, said = reply(both.router, wanted)
    assert (status, orjson.loads(said)["error"]["status"]) == ("500 INTERNAL SERVER ERROR", "INTERNAL")
    assert len(tried) == 1


def test_surfaces_that_are_not_served_are_not_routed(make_api: Callable[..., Api]) -> None:
    api = make_api(RESOLVER_SURFACES="callback")
    body = orjson.dumps({"data": notification()})
    wanted = environ(body, {**JSON_TYPE, **BACKEND}, MIRROR + "add")
    assert reply(api.client.application.wsgi_app, wanted)[0] == "404 NOT FOUND"
