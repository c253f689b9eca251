"""The demo's own paths: served in development to this machine alone, and never in production."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resolver.app import create_app
from resolver.config import load
from tests.support import CALLER_TOKEN, Api, Velt, environment

IDS = {"organizationId": "acme", "notificationId": "n-1"}
PATHS = sorted(
    rule.rule
    for rule in create_app(load(environment())).url_map.iter_rules()
    if rule.endpoint.startswith("demo.")
)
POSTS = ("/demo/keys/rotate", "/demo/outage", "/demo/velt/delete", "/demo/stored", "/demo/opened")


@pytest.mark.parametrize("path", PATHS)
def test_demo_is_not_served_in_production(make_api: Callable[..., Api], path: str) -> None:
    api = make_api(RESOLVER_MODE="production", RESOLVER_DEV_STATE="/tmp")
    assert api.client.get(path).status_code == 404
    assert api.post(path, {}).status_code == 404


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", ""]
)
def test_demo_refuses_foreign_host_names(api: Api, path: str, host: str) -> None:
    for method in ("GET", "POST"):
        reply = api.client.open(path, method=method, json={}, headers={"host": host})
        assert reply.status_code in (404, 405)
        assert CALLER_TOKEN not in reply.text


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", ""])
def test_demo_refuses_other_machines(api: Api, address: str) -> None:
    for path in PATHS:
        reply = api.client.get(path, environ_base={"REMOTE_ADDR": address})
        assert reply.status_code in (404, 405), path


@pytest.mark.parametrize("proxies", ["0", "1"])
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_demo_refuses_proxied_requests(make_api: Callable[..., Api], proxies: str, header: str) -> None:
    api = make_api(RESOLVER_TRUSTED_PROXIES=proxies)
    for address in ("127.0.0.1", "192.0.2.7"):
        for path in PATHS:
            reply = api.client.get(path, headers={header: "127.0.0.1"}, environ_base={"REMOTE_ADDR": address})
            assert reply.status_code in (404, 405), path
            assert CALLER_TOKEN not in reply.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8081", "[::1]:8080"])
def test_demo_serves_this_machine_under_its_local_names(api: Api, host: str) -> None:
    reply = api.client.get("/demo", headers={"host": host})
    assert (reply.status_code, reply.mimetype) == (200, "text/html")


@pytest.mark.parametrize("path", ["/demo", "/demo/main.js", "/docs", "/docs/docs.js"])
def test_demo_page_may_only_load_its_own_files(api: Api, path: str) -> None:
    policy = api.client.get(path).headers["content-security-policy"]
    allowed = {name: sources.split() for name, _, sources in (d.partition(" ") for d in policy.split("; "))}
    ours = {name for name, sources in allowed.items() if sources == ["'self'"]}
    assert ours == {"script-src", "style-src", "connect-src"}
    nothing = {name for name, sources in allowed.items() if sources == ["'none'"]}
    assert nothing == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert allowed.keys() == ours | nothing


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
def test_demo_refuses_what_a_foreign_form_can_send(
    make_api: Callable[..., Api], velt: Velt, tmp_path: Path, path: str, kind: str
) -> None:
    api = make_api(RESOLVER_DEV_STATE=str(tmp_path))
    api.add()
    reply = api.client.post(
        path, data=b'{"out":true,"organizationId":"acme"}', headers={"content-type": kind}
    )
    assert reply.status_code == 415
    assert velt.control("GET", "faults")["faults"] == []
    assert not list(tmp_path.iterdir())
    assert "access-control-allow-origin" not in reply.headers


def test_demo_refuses_preflights_of_other_pages(api: Api) -> None:
    for path in PATHS:
        reply = api.client.options(path, headers={"origin": "https://evil.example"})
        assert reply.status_code == 405
        assert not [name for name in dict(reply.headers) if name.lower().startswith("access-control")]


def test_the_bytes_in_redis_are_shown_sealed_and_opened(api: Api) -> None:
    api.add()
    found = api.post("/demo/stored", IDS).get_json()
    sealed = bytes.fromhex(found["sealed"])
    assert (len(sealed), found["keyId"]) == (found["length"], "k1")
    assert b"CANARY" not in sealed
    opened = api.post("/demo/opened", IDS).get_json()["opened"]
    assert opened["content"]["displayBodyMessage"] == "CANARY body"


def test_what_redis_holds_is_listed_the_newest_first_and_without_content(api: Api, velt: Velt) -> None:
    for number in range(45):
        api.add(notificationId=f"n-{number}", organizationId="acme" if number % 2 else "globex")
    velt.control("POST", "reset")
    reply = api.client.get("/demo/held")
    held = reply.get_json()["held"]
    assert len(held) == 40
    assert all(one.keys() == {"organizationId", "notificationId", "created"} for one in held)
    created = [one["created"] for one in held]
    assert created == sorted(created, reverse=True)
    assert {one["organizationId"] for one in held} == {"acme", "globex"}
    assert "CANARY" not in reply.text


def test_demo_shows_nothing_of_unknown_notifications(api: Api) -> None:
    assert api.post("/demo/stored", IDS).get_json()["sealed"] is None
    assert api.post("/demo/opened", IDS).get_json() == {"opened": None}


def test_demo_audits_opened_records(make_api: Callable[..., Api], tmp_path: Path) -> None:
    trail = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(trail))
    api.add()
    before = trail.read_text()
    api.post("/demo/opened", IDS)
    after = trail.read_text().removeprefix(before)
    assert '"demo page"' in after
    assert "n-1" in after
    assert "CANARY" not in after


def test_velts_side_is_relayed_and_an_outage_begins_and_ends(api: Api, velt: Velt) -> None:
    api.add()
    assert api.post("/demo/outage", {"out": True}).get_json() == {"out": True}
    assert api.add(notificationId="n-2").get_json()["result"]["data"]["registration"] == "pending"
    during = api.client.get("/demo/velt").get_json()
    assert [one["id"] for one in during["notifications"]] == ["n-1"]
    assert (during["out"], "CANARY" in str(during)) == (True, False)
    api.post("/demo/outage", {"out": False})
    assert velt.control("GET", "faults")["faults"] == []
    assert api.client.get("/demo/velt").get_json()["out"] is False


def test_feed_is_what_velt_lists_for_the_person(api: Api) -> None:
    api.add()
    (item,) = api.client.get("/demo/feed?organizationId=acme&userId=ben").get_json()["notifications"]
    assert (item["id"], item["forYou"]) == ("n-1", True)


def test_velts_own_copy_goes_as_its_sdk_would_have_it(api: Api, velt: Velt) -> None:
    api.add()
    assert api.post("/demo/velt/delete", IDS).status_code == 200
    assert velt.control("GET", "notifications")["notifications"] == []


def test_a_velt_that_is_out_has_not_deleted_and_that_is_no_error(api: Api) -> None:
    api.add()
    api.post("/demo/outage", {"out": True})
    reply = api.post("/demo/velt/delete", IDS)
    assert (reply.status_code, reply.get_json()) == (200, {"deleted": False})


def test_what_velt_holds_is_the_newest_first_whatever_the_organization(api: Api) -> None:
    for id_, organization in (("n-1", "globex"), ("n-2", "acme"), ("n-3", "globex"), ("n-4", "acme")):
        api.add(notificationId=id_, organizationId=organization)
    held = api.client.get("/demo/velt").get_json()["notifications"]
    assert [one["id"] for one in held] == ["n-4", "n-3", "n-2", "n-1"]


def test_keys_that_are_not_kept_by_resolver_dev_are_not_rotated(api: Api) -> None:
    assert api.post("/demo/keys/rotate", {}).status_code == 400


def test_without_a_sandbox_it_says_unavailable(make_api: Callable[..., Api]) -> None:
    api = make_api(VELT_API_URL="http://127.0.0.1:1")
    assert api.client.get("/demo/velt").status_code == 503
