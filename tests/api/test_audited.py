"""Each request has one audit line before it takes effect; a request that can't be recorded has no effect."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from resolver.app import SURFACES
from resolver.audit.trail import MAX_WAIT_SECONDS
from tests.audit.test_blocked_sink import unread_pipe
from tests.audit.test_trail import events_in
from tests.audit.test_verify import run
from tests.boundaries import boundaries
from tests.support import BACKEND, Api, figures_in, notification, signed
from tests.waiting import until

JSON = dict[str, Any]
MakeApi = Callable[..., Api]
READ = {"organizationId": "acme", "notificationIds": ["n-1", "n-2", "nothing"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def api(make_api: MakeApi, path: Path) -> Api:
    return make_api(RESOLVER_AUDIT_LOG=str(path))


def bearer(user: str = "ben", *organizations: str) -> dict[str, str]:
    return {"authorization": f"Bearer {signed(user, *(organizations or ('acme',)))}"}


def said(line: JSON) -> JSON:
    """Return an audit line without the fields that differ from run to run."""
    return {k: v for k, v in line.items() if k not in ("audit", "chain", "seq", "at", "hash", "request")}


def last(path: Path) -> JSON:
    return said(events_in(path)[-1])


def get(api: Api, body: JSON = READ, headers: JSON | None = None) -> TestResponse:
    return api.post("/api/velt/notifications/get", body, headers or bearer())


def test_audit_line_of_a_read_names_given_and_denied_ids(api: Api, path: Path) -> None:
    api.add()
    api.add(notificationId="n-2", notifyUsers=[{"userId": "dan"}])
    get(api)
    assert last(path) == {
        "who": {"kind": "user", "id": "ben"},
        "surface": "callback",
        "action": "get",
        "outcome": "ok",
        "organization": "acme",
        "ids": ["n-1"],
        "denied": ["n-2"],
        "absent": 1,
    }
    get(api, headers=bearer("zoe"))
    assert (last(path)["outcome"], last(path)["denied"]) == ("denied", ["n-1", "n-2"])
    get(api, headers=bearer("ben", "zeta"))
    assert (last(path)["outcome"], last(path)["absent"]) == ("denied", 3)


@pytest.mark.parametrize(
    ("user", "outcome", "effect"),
    [("ana", "ok", "removes"), ("ben", "ok", "removes"), ("zoe", "denied", "nothing")],
)
def test_audit_line_of_a_delete_names_its_effect(
    api: Api, path: Path, user: str, outcome: str, effect: str
) -> None:
    api.add()
    body = {"organizationId": "acme", "notificationId": "n-1"}
    api.post("/api/velt/notifications/delete", body, bearer(user))
    assert (last(path)["outcome"], last(path)["effect"], last(path)["ids"]) == (outcome, effect, ["n-1"])


def test_audit_line_names_the_backend(api: Api, path: Path) -> None:
    api.add()
    api.velt("notifications/update", {"organizationId": "acme", "notifications": [{"id": "n-1", "x": 1}]})
    api.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1"})
    api.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]})
    api.velt("notifications/delete", {"organizationId": "acme", "documentId": "doc-1"})
    api.post("/api/velt/token", {"userId": "ben", "organizationIds": ["acme", "zeta"]})
    lines = [said(line) for line in events_in(path)]
    assert all(line["who"] == {"kind": "backend", "id": "backend"} for line in lines)
    assert [(line["action"], line.get("ids")) for line in lines] == [
        ("add", ["n-1"]),
        ("update", ["n-1"]),
        ("get", ["n-1"]),
        ("delete", ["n-1"]),
        ("delete", None),
        ("mint", ["acme", "zeta"]),
    ]
    assert lines[4]["scope"] == {"documentId": "doc-1"}
    assert lines[5]["user"] == "ben"


def test_refusals_are_audited_with_their_code(api: Api, path: Path) -> None:
    get(api, headers={"authorization": "Bearer nonsense"})
    assert (last(path)["outcome"], last(path)["code"], last(path)["who"]["kind"]) == (
        "denied",
        "UNAUTHENTICATED",
        "unknown",
    )
    api.post("/v2/notifications/add", {"data": {}}, {**BACKEND, "x-velt-auth-token": "wrong"})
    assert (last(path)["outcome"], last(path)["code"]) == ("denied", "PERMISSION_DENIED")
    api.velt("notifications/add", {})
    assert (last(path)["outcome"], last(path)["code"]) == ("refused", "INVALID_ARGUMENT")


def test_failure_after_the_audit_line_is_audited_with_the_same_request_id(
    api: Api, path: Path, velt: Any
) -> None:
    velt.break_with(status=400, errorStatus="INVALID_ARGUMENT", path="/v2/notifications/add")
    assert api.add().status_code == 400
    before, after = events_in(path)
    assert (before["outcome"], after["outcome"], after["code"]) == ("ok", "failed", "INVALID_ARGUMENT")
    assert before["request"] == after["request"]


def test_health_checks_preflights_and_scrapes_are_not_audited(api: Api, path: Path) -> None:
    api.client.get("/livez")
    api.client.get("/readyz")
    api.client.get("/openapi.json")
    api.client.options("/api/velt/notifications/get")
    assert not path.exists()
    assert {surface.name for surface in SURFACES if surface.is_audited} == {
        "mirror",
        "callback",
        "token",
        "privacy",
    }


def test_request_is_refused_when_it_cannot_be_audited(make_api: MakeApi, api: Api, velt: Any) -> None:
    api.add()
    told = len(velt.ledger())
    full = make_api(RESOLVER_AUDIT_LOG="/dev/full", RESOLVER_CORS_ORIGINS="https://app.example.com")
    read = get(full, headers={**bearer(), "origin": "https://app.example.com"})
    assert (read.status_code, read.get_json()["success"]) == (503, False)
    assert read.headers["access-control-allow-origin"] == "https://app.example.com"
    assert b"CANARY" not in read.data
    assert full.add(notificationId="n-2").status_code == 503
    update = {"organizationId": "acme", "notifications": [{"id": "n-1", "displayBodyMessage": "changed"}]}
    assert full.velt("notifications/update", update).status_code == 503
    assert (
        full.velt("notifications/delete", {"organizationId": "acme", "notificationIds": ["n-1"]}).status_code
        == 503
    )
    gone = {"organizationId": "acme", "notificationId": "n-1"}
    for headers in (bearer(), bearer("ana"), BACKEND):
        assert full.post("/api/velt/notifications/delete", gone, headers).status_code == 503
    assert full.post("/api/velt/token", {"userId": "ben", "organizationIds": ["acme"]}).status_code == 503
    assert get(full, headers={"authorization": "Bearer nonsense"}).status_code == 503
    assert len(velt.ledger()) == told, "and Velt heard of nothing"
    assert api.read("n-1", "n-2").keys() == {"n-1"}
    assert api.read("n-1")["n-1"]["displayBodyMessage"] == "CANARY body"


def test_request_is_refused_once_and_in_time_while_the_trail_is_stuck(
    make_api: MakeApi, tmp_path: Path
) -> None:
    with unread_pipe(tmp_path) as pipe:
        api = make_api(RESOLVER_AUDIT_LOG=str(pipe.path))
        assert api.add().status_code == 200
        pipe.fill()
        started = time.monotonic()
        assert get(api).status_code == 503
        assert time.monotonic() - started < MAX_WAIT_SECONDS + 0.3
        until(lambda: pipe.drain()[-1][1] == "failed", "the line that was stuck")
        assert get(api).status_code == 200
        assert [outcome for _, outcome in pipe.drain()] == ["ok", "ok", "failed", "ok"]


def test_audit_trail_has_each_of_a_thousand_requests_once_without_content(
    api: Api, path: Path, resolver_environment: dict[str, str]
) -> None:
    chance = random.Random(7)
    deeds: list[Callable[[int], TestResponse]] = [
        lambda n: api.post(
            "/v2/notifications/add",
            {"data": notification(notificationId=f"n-{n % 50}")},
            numbered(n, BACKEND),
        ),
        lambda n: get(
            api, {**READ, "notificationIds": [f"n-{m}" for m in range(n % 400)]}, numbered(n, bearer())
        ),
        lambda n: get(api, READ, numbered(n, bearer("zoe"))),
        lambda n: get(api, READ, numbered(n, {"authorization": "Bearer x"})),
        lambda n: api.post(
            "/api/velt/notifications/delete", {**READ, "notificationId": f"n-{n % 50}"}, numbered(n, bearer())
        ),
        lambda n: api.post("/v2/notifications/update", b"{", numbered(n, BACKEND)),
        lambda n: api.post("/v2/workspace/notificationconfig/get", {}, numbered(n, BACKEND)),
    ]
    strangers = {f"request-{n:06d}" for n in range(1000) if chance.choice(deeds)(n).status_code == 401}
    api.services.trail.close()
    lines = events_in(path)
    events = [line for line in lines if line.get("part", "1/").startswith("1/")]
    counted = Counter(line["request"] for line in events if "request" in line)
    assert set(counted.values()) == {1}
    assert counted.keys() >= {f"request-{n:06d}" for n in range(1000)} - strangers
    assert len(counted) + sum(line.get("unrecorded", 0) for line in events) == 1000
    assert b"CANARY" not in path.read_bytes()
    env = {**resolver_environment, "RESOLVER_AUDIT_LOG": str(path)}
    found = json.loads(run("verify", str(path), "--json", env=env).output)
    assert found["whole"]
    assert sum(chain["events"] for chain in found["chains"].values()) == len(events)


def numbered(n: int, headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "x-request-id": f"request-{n:06d}"}


@pytest.mark.single_server
def test_retried_delete_with_another_effect_is_audited_again(
    make_api: MakeApi, path: Path, resolver_environment: dict[str, str]
) -> None:
    """Ben's dismissal turns into a removal if another request leaves him as the only recipient. At whichever
    message that happens, the audit line has the real effect."""
    body = {"organizationId": "acme", "notificationId": "n-1"}
    other, users = make_api(), [{"userId": "ben"}, {"userId": "zoe"}]
    effects = set()
    for at in range(1, 12):
        other.add(notifyUsers=users)
        with boundaries(resolver_environment["REDIS_URL"]) as between:
            api = make_api(REDIS_URL=between.url, RESOLVER_AUDIT_LOG=str(path))
            entry = {"id": "n-1", "notifyUsers": users[:1]}
            data = {"organizationId": "acme", "notifications": [entry]}
            between.arm({at: partial(other.velt, "notifications/update", data)})
            assert api.post("/api/velt/notifications/delete", body, bearer()).status_code == 200
            api.services.trail.close()
        done = "leaves" if other.services.store.read("acme", ["n-1"]) else "removes"
        said = [line["effect"] for line in events_in(path) if line["action"] == "delete"]
        assert said[-1] == done
        effects.add(tuple(said))
        path.unlink()
    assert effects == {("removes",), ("leaves", "removes"), ("leaves",)}


def test_flood_of_refusals_is_counted_in_the_audit_trail(api: Api, path: Path) -> None:
    before = figures_in(api.client.get("/metrics").text)
    began = time.monotonic()
    for n in range(300):
        headers = [{}, {"authorization": "Bearer nonsense"}, {**BACKEND, "x-velt-auth-token": "x"}][n % 3]
        assert get(api, headers={**headers, "x-forwarded-for": "192.0.2.1"}).status_code == 401
    seconds = time.monotonic() - began
    after = figures_in(api.client.get("/metrics").text)
    api.services.trail.close()
    lines = events_in(path)
    unrecorded = sum(line.get("unrecorded", 0) for line in lines)
    about_strangers = [line for line in lines if line["who"]["kind"] == "unknown"]
    assert len(about_strangers) + unrecorded == 300
    assert len(about_strangers) <= 10 * (seconds + 1)
    name = 'resolver_audit_unrecorded_total{surface="callback"}'
    assert after[name] - before.get(name, 0) == unrecorded


def test_each_denial_of_a_known_caller_is_audited(api: Api, path: Path) -> None:
    api.add()
    for _ in range(50):
        get(api, headers=bearer("zoe"))
    denied = [line for line in events_in(path) if line["outcome"] == "denied"]
    assert [line["who"]["id"] for line in denied] == ["zoe"] * 50


def test_flood_on_a_full_disk_is_refused_and_other_requests_fail_closed(make_api: MakeApi) -> None:
    full = make_api(RESOLVER_AUDIT_LOG="/dev/full")
    statuses = Counter(get(full, headers={"authorization": "Bearer x"}).status_code for _ in range(200))
    assert statuses.keys() == {401, 503}
    assert statuses[401] > 100
    assert get(full).status_code == 503
    assert full.add().status_code == 503
