"""Every endpoint against generated requests: no answer is 500 or more, each has the described shape, and none
shows a traceback.

A sample runs always; `make nightly` runs tens of thousands of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import event, given
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks
from structlog.testing import capture_logs

from tests.api.described import END_USER, METRICS, PRIVACY, conforms, credential, operations
from tests.support import BACKEND, JSON, Api, sendable, signed

ORIGIN = "https://app.example.com"
pytestmark = pytest.mark.fuzz

OTHER_CREDENTIALS: tuple[dict[str, str], ...] = (
    BACKEND,
    {**END_USER, "origin": ORIGIN},
    {"authorization": f"Bearer {signed('ben', 'acme', secret='x' * 32)}"},
    {"authorization": f"Bearer {METRICS}"},
    {"authorization": f"Bearer {PRIVACY}"},
    {"authorization": "Bearer nonsense"},
    {**BACKEND, "x-velt-auth-token": "wrong"},
    {},
)
# Most calls carry valid credentials: a call that authentication refuses tests nothing behind it.
credentials = st.none() | st.none() | st.sampled_from(OTHER_CREDENTIALS)


@pytest.fixture
def api(
    make_api: Callable[..., Api], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Api]:
    api = make_api(
        RESOLVER_METRICS_TOKEN=METRICS,
        RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}",
        RESOLVER_CORS_ORIGINS=ORIGIN,
        # On a busy machine an answer may take long; these tests judge only whether it is right.
        RESOLVER_DEADLINE_MS="30000",
    )
    api.add()
    # The log's own stream ended with this fixture: pytest opens another one for the test.
    with capture_logs() as logged:
        yield api
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []
    assert [line for line in caplog.get_records("call") if line.levelname in ("ERROR", "CRITICAL")] == []
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.fixture
def description(api: Api) -> JSON:
    found: JSON = api.client.get("/openapi.json").get_json()
    return found


CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture
def generated(description: JSON) -> list[tuple[Any, JSON]]:
    """Return each operation as schemathesis has it, and as described. Its security is removed, since
    schemathesis would leave out the credential in requests that should be refused for their body."""
    bare = {
        path: {method: {**operation, "security": []} for method, operation in item.items()}
        for path, item in description["paths"].items()
    }
    schema = schemathesis.openapi.from_dict({**description, "paths": bare})
    return [(schema[path][method], operation) for path, method, operation in operations(description)]


@given(data=st.data(), other=credentials, mode=st.sampled_from(GenerationMode))
def test_what_the_description_allows_and_what_it_forbids_is_answered_as_it_says(
    api: Api,
    generated: list[tuple[Any, JSON]],
    data: st.DataObject,
    other: dict[str, str] | None,
    mode: GenerationMode,
) -> None:
    operation, described = data.draw(st.sampled_from(generated))
    chosen = mode if "requestBody" in described else GenerationMode.POSITIVE
    case = data.draw(operation.as_strategy(generation_mode=chosen))
    sent = credential(described) if other is None else other
    response = case.call(app=api.client.application, headers={**dict(case.headers or {}), **sent})
    event(f"{operation.path} {response.status_code}")
    case.validate_response(response, checks=CHECKS)


NAMES = [
    "organizationId",
    "documentId",
    "notificationId",
    "notificationIds",
    "notifications",
    "actionUser",
    "notifyUsers",
    "userId",
    "userIds",
    "config",
    "context",
    "location",
    "locationId",
    "metadata",
    "documentIds",
    "organizationIds",
    "ttlSeconds",
    "notifyAll",
    "data",
    "order",
    "pageToken",
    "notificationServiceConfig",
    "useNotificationService",
    "isNotificationResolverUsed",
    "displayBodyMessage",
    "__proto__",
]
WRONG_NUMBERS = [b"1e999", b"-1e999", b"NaN", b"-Infinity", b"18446744073709551616", b"-9223372036854775809"]
WRONG_NUMBERS += [b"9" * 5000, b"01", b"1e-999", b"-0"]
WRONG_TEXTS = [b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xff\xfe"', b'"\\u0000"', b'"\t"', b'"\xed\xa0\x80"']
IDS = [
    "n-1",
    "*",
    "n-*",
    "n?1",
    "[a-z]",
    "",
    "acme",
    "a" * 513,
    "{p00}n:*",
    "__proto__",
    "\u202e",
    "\x00",
    "%s",
]

deep = st.integers(1, 5000).flatmap(
    lambda n: st.sampled_from([b'{"data":' * n + b"1" + b"}" * n, b'{"a":' + b"[" * n + b"]" * n + b"}"])
)
long = st.builds(
    lambda size, text: text * size, st.integers(1, 70_000), st.sampled_from(["a", "\u00e9", "\x01"])
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | long
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
ids = st.sampled_from(IDS)
names = st.sampled_from(NAMES) | st.text(max_size=20)
payloads = st.dictionaries(names, values | ids | st.lists(ids | scalars, max_size=5), max_size=8)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60) | st.just("a" * 9000)
HEADERS = ["authorization", "x-velt-api-key", "x-velt-auth-token", "cookie", "origin", "x-request-id", "host"]
HEADERS += ["x-forwarded-for", "content-encoding", "accept", "range", "x-http-method-override"]
headers = st.dictionaries(st.sampled_from(HEADERS), texts, max_size=3)
content_types = st.sampled_from(
    ["application/json"] * 8
    + ["application/json; charset=utf-16", "text/plain", "", "application/json;=\xff"]
)


def spoken(value: Any) -> bytes:
    return orjson.dumps(sendable(value))


def bodies(example: JSON | None) -> st.SearchStrategy[bytes]:
    """Hostile ones, many of them but for one thing what the endpoint takes."""
    taken = example or {}
    inner = taken.get("data", taken)

    def whole(data: bytes) -> bytes:
        return b'{"data":' + data + b"}" if "data" in taken else data

    def with_raw(name: str, raw: bytes) -> bytes:
        """Also where it says the key a second time."""
        return whole(spoken(inner)[:-1] + b"," * bool(inner) + spoken(name) + b":" + raw + b"}")

    changes = st.dictionaries(st.sampled_from(sorted(inner) or NAMES), values | ids, min_size=1, max_size=2)
    bent = (changes | payloads).map(lambda payload: whole(spoken({**inner, **payload})))
    broken = st.builds(with_raw, st.sampled_from(NAMES), st.sampled_from(WRONG_NUMBERS + WRONG_TEXTS) | deep)
    twice = st.builds(lambda body: b'{"data":' + body + b',"data":' + body + b"}", payloads.map(spoken))
    return st.one_of(
        bent,
        bent,
        bent,
        broken,
        twice,
        deep,
        payloads.map(spoken),
        values.map(spoken),
        values.map(lambda value: whole(spoken(value))),
        st.binary(max_size=300),
    )


@pytest.fixture
def hostile(description: JSON) -> list[tuple[str, str, JSON, st.SearchStrategy[bytes]]]:
    def example(operation: JSON) -> JSON | None:
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        return media.get("example")  # type: ignore[no-any-return]

    return [(path, method, op, bodies(example(op))) for path, method, op in operations(description)]


@given(data=st.data(), other=credentials, more=headers, content_type=content_types, query=texts)
def test_no_bytes_and_no_headers_bring_it_out_of_shape(  # noqa: PLR0917 - one example, in its parts
    api: Api,
    hostile: list[tuple[str, str, JSON, st.SearchStrategy[bytes]]],
    data: st.DataObject,
    other: dict[str, str] | None,
    more: dict[str, str],
    content_type: str,
    query: str,
) -> None:
    path, method, operation, sendable = data.draw(st.sampled_from(hostile))
    sent = {**(credential(operation) if other is None else other), **more, "content-type": content_type}
    body = data.draw(sendable)
    reply = api.client.open(path, method=method, data=body, headers=sent, query_string=query)
    event(f"{path} {reply.status_code}")
    assert reply.status_code < 500, (path, reply.data)
    conforms(operation, reply)
