"""The privacy surface: its credential, export, erasure, and the status of an erasure up to its
certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.described import METRICS, PRIVACY
from tests.erasing import continued
from tests.support import BACKEND, Api, error_of, signed

JSON = dict[str, Any]
MakeApi = Callable[..., Api]
BEARER = {"authorization": f"Bearer {PRIVACY}"}
TOKENS = f"dpo:{PRIVACY}"


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    return make_api(RESOLVER_PRIVACY_TOKENS=TOKENS, RESOLVER_METRICS_TOKEN=METRICS)


def exported(api: Api, **asked: Any) -> list[JSON]:
    reply = api.post("/privacy/export", asked, BEARER)
    assert (reply.status_code, reply.mimetype) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in reply.data.splitlines()]
    reply.close()  # as a server does; then the next export may begin
    return lines


def test_privacy_surface_is_closed_without_tokens(make_api: MakeApi) -> None:
    api = make_api()
    for reply in (
        api.post("/privacy/export", {"userIds": ["ben"]}, BEARER),
        api.post("/privacy/erase", {"userIds": ["ben"]}, BEARER),
        api.client.get("/privacy/erasures/x", headers=BEARER),
    ):
        assert error_of(reply) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (BACKEND, 401),
        ({"authorization": "Bearer wrong"}, 403),
        ({"authorization": f"Basic {PRIVACY}"}, 401),
        ({"authorization": f"Bearer {METRICS}"}, 403),
        ({"authorization": f"Bearer {signed('ben', 'acme')}"}, 403),
    ],
)
def test_privacy_surface_refuses_other_credentials(api: Api, headers: dict[str, str], status: int) -> None:
    for path in ("export", "erase"):
        assert api.post(f"/privacy/{path}", {"userIds": ["ben"]}, headers).status_code == status
    assert api.client.get("/privacy/erasures/x", headers=headers).status_code == status
    assert api.post("/v2/notifications/get", {"data": {}}, BEARER).status_code in (401, 403)


def test_an_export_is_one_object_a_line_and_says_that_it_is_whole(api: Api) -> None:
    api.add()
    api.add(notificationId="other", actionUser={"userId": "zoe"}, notifyUsers=[{"userId": "cleo"}],
            displayHeadlineMessageTemplateData={})  # fmt: skip
    one, end = exported(api, userIds=["ben"])
    assert one["notificationId"] == "n-1"
    assert one["content"]["actionUser"] == "[another person]"
    assert end == {"type": "end", "complete": True, "found": 1, "unreadable": 0}
    assert exported(api, userIds=["ben"], organizationIds=["zeta"])[-1]["found"] == 0


def test_one_export_at_a_time_and_the_next_once_it_ended(api: Api) -> None:
    api.add()
    first = api.client.post("/privacy/export", json={"userIds": ["ben"]}, headers=BEARER, buffered=False)
    second = api.post("/privacy/export", {"userIds": ["ben"]}, BEARER)
    assert error_of(second) == (429, "RESOURCE_EXHAUSTED")
    assert int(second.headers["retry-after"]) > 0
    first.close()
    assert exported(api, userIds=["ben"])[-1]["complete"] is True


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"userIds": []},
        {"userIds": [""]},
        {"emails": [""]},
        {"userIds": ["ben"], "emails": [" "]},
        {"userIds": ["ben"], "organizationIds": [""]},
        {"userIds": "ben"},
        {"userIds": [None]},
        {"userIds": ["ben"], "organizationIds": []},
        {"userIds": ["ben"], "organizationId": "acme"},
        {"userIds": ["ben"], "organizationIds": "acme"},
        {"organizationIds": ["acme"]},
    ],
)
def test_privacy_request_with_missing_empty_or_misspelt_keys_is_refused(api: Api, body: JSON) -> None:
    for path in ("export", "erase"):
        assert error_of(api.post(f"/privacy/{path}", body, BEARER)) == (400, "INVALID_ARGUMENT"), path


@pytest.mark.parametrize(
    "body",
    [
        {"wholeOrganizations": True},
        {"wholeOrganizations": True, "organizationIds": ["acme"], "userIds": ["ben"]},
        {"wholeOrganizations": "yes", "organizationIds": ["acme"]},
        {"emails": ["ben@example.com"], "veltUserData": True},
    ],
)
def test_invalid_erasure_request_is_refused(api: Api, body: JSON) -> None:
    assert error_of(api.post("/privacy/erase", body, BEARER)) == (400, "INVALID_ARGUMENT")


def test_an_erasure_is_followed_to_its_certificate(api: Api, make_eraser: Callable[..., Any]) -> None:
    api.add()
    asked = api.post("/privacy/erase", {"userIds": ["ben"]}, BEARER)
    assert asked.status_code == 202
    path = f"/privacy/erasures/{asked.get_json()['erasureId']}"
    assert api.client.get(path, headers=BEARER).get_json()["status"] == "waiting"
    eraser = make_eraser()
    eraser.round()
    assert api.client.get(path, headers=BEARER).get_json()["status"] == "telling"
    assert api.read("n-1") == {}
    api.services.outbox.complete(api.services.outbox.claim(api.services.outbox.due()[0]))  # type: ignore[arg-type]
    continued(eraser).round()
    found = api.client.get(path, headers=BEARER).get_json()
    assert found["status"] == "done"
    assert found["certificate"]["certificate"]["askedBy"] == "dpo"
    assert found["counts"]["removed"] == 1


def test_unknown_erasure_is_not_found(api: Api) -> None:
    assert error_of(api.client.get("/privacy/erasures/nonesuch", headers=BEARER)) == (404, "NOT_FOUND")


def test_an_outage_of_redis_is_not_an_empty_export_and_not_an_absent_erasure(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_PRIVACY_TOKENS=TOKENS, REDIS_URL="redis://127.0.0.1:1/0")
    for reply in (
        api.post("/privacy/export", {"userIds": ["ben"]}, BEARER),
        api.post("/privacy/erase", {"userIds": ["ben"]}, BEARER),
        api.client.get("/privacy/erasures/x", headers=BEARER),
    ):
        assert error_of(reply) == (503, "UNAVAILABLE")


def test_privacy_request_is_audited_without_names(make_api: MakeApi, tmp_path: Path) -> None:
    trail = tmp_path / "audit.log"
    api = make_api(RESOLVER_PRIVACY_TOKENS=TOKENS, RESOLVER_AUDIT_LOG=str(trail))
    somebody = {"userIds": ["a-person-to-find"], "emails": ["somebody@example.com"]}
    id_ = api.post("/privacy/erase", somebody, BEARER).get_json()["erasureId"]
    exported(api, **somebody)
    api.client.get(f"/privacy/erasures/{id_}", headers=BEARER)
    api.post("/privacy/erase", somebody, {"authorization": "Bearer wrong"})
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    told = [(line["action"], line["outcome"], line["who"]["kind"]) for line in lines if "who" in line]
    assert told == [
        ("erase", "ok", "ops"),
        ("export", "ok", "ops"),
        ("erasure", "ok", "ops"),
        ("erase", "denied", "unknown"),
    ]
    assert "a-person-to-find" not in trail.read_text()
    assert "somebody@" not in trail.read_text()


def test_export_and_erasure_are_refused_without_audit_trail(make_api: MakeApi) -> None:
    api = make_api(RESOLVER_PRIVACY_TOKENS=TOKENS, RESOLVER_AUDIT_LOG="/dev/full")
    for path in ("export", "erase"):
        reply = api.post(f"/privacy/{path}", {"userIds": ["ben"]}, BEARER)
        assert error_of(reply) == (503, "UNAVAILABLE")
    assert api.services.erasures.erasure_store.under_way() == {}
