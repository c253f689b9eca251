"""An instance that faces the internet serves the data provider endpoints alone, without backends' secrets."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from resolver.cli import main
from tests.support import BACKEND, Api, Velt, signed
from tests.system.conftest import RESOLVER, plain_environment

MakeApi = Callable[..., Api]
Environment = dict[str, str]
ALONE = {"RESOLVER_SURFACES": "callback,metrics", "RESOLVER_WORKER": "separate"}
WITHOUT = {"VELT_AUTH_TOKEN": "", "RESOLVER_CALLER_TOKENS": ""}
GET, DELETE = "/api/velt/notifications/get", "/api/velt/notifications/delete"
ASKED: dict[str, dict[str, Any]] = {
    GET: {"organizationId": "acme", "notificationIds": ["n-1"]},
    DELETE: {"organizationId": "acme", "notificationId": "n-1"},
}


@pytest.fixture
def facing(make_api: MakeApi) -> Api:
    """An instance for the internet, beside an inner one that has added a notification."""
    make_api().add()
    return make_api(**ALONE, **WITHOUT)


def test_callback_only_instance_serves_end_users(facing: Api) -> None:
    bearer = {"authorization": f"Bearer {signed('ana', 'acme')}"}
    assert facing.post(GET, ASKED[GET], bearer).get_json()["data"].keys() == {"n-1"}
    assert facing.post(DELETE, ASKED[DELETE], bearer).status_code == 200
    assert facing.post(GET, ASKED[GET], bearer).get_json()["data"] == {}


@pytest.mark.parametrize(
    "given",
    [WITHOUT, {}, {"RESOLVER_WORKER": "embedded"}],
    ids=["without tokens", "given tokens all the same", "with a worker beside it"],
)
@pytest.mark.parametrize("path", ASKED)
def test_callback_only_instance_refuses_backends(make_api: MakeApi, given: dict[str, str], path: str) -> None:
    inside = make_api()
    inside.add()
    facing = make_api(**{**ALONE, **given})
    for headers in (BACKEND, {**BACKEND, "x-velt-auth-token": ""}, {**BACKEND, "x-velt-api-key": ""}):
        reply = facing.post(path, ASKED[path], headers)
        assert (reply.status_code, reply.get_json()["success"]) == (401, False)
    assert inside.read("n-1").keys() == {"n-1"}
    assert inside.post(GET, ASKED[GET], BACKEND).status_code == 200, "inside they do"


def test_callback_only_instance_has_no_backend_surfaces(facing: Api) -> None:
    for path in ("/v2/notifications/add", "/api/velt/token", "/api/velt/token/revoke", "/privacy/export"):
        assert facing.post(path, {}, BACKEND).status_code == 404


def test_callback_only_instance_leaves_sending_to_other_workers(facing: Api, velt: Velt) -> None:
    before = len(velt.ledger())
    facing.post(DELETE, ASKED[DELETE], {"authorization": f"Bearer {signed('ana', 'acme')}"})
    assert len(velt.ledger()) == before


def test_check_reports_a_callback_only_instance(resolver_environment: Environment, velt: Velt) -> None:
    checked = CliRunner().invoke(main, ["check"], env={**resolver_environment, **ALONE, **WITHOUT})
    assert checked.exit_code == 0, checked.output
    assert "is never called by this instance" in checked.output
    assert velt.ledger() == []
    probe = ["check", "--live", "--organization", "acme", "--document", "d", "--user", "ben"]
    live = CliRunner().invoke(main, probe, env={**resolver_environment, **ALONE, **WITHOUT})
    assert live.exit_code == 1
    assert "has no VELT_AUTH_TOKEN" in live.output


def test_demo_page_works_on_a_callback_only_instance(facing: Api) -> None:
    found = facing.client.get("/demo/credentials").get_json()
    assert (found["callerToken"], facing.client.get("/demo").status_code) == ("", 200)
    asked = {"organizationId": "acme", "notificationId": "n-1"}
    assert facing.post("/demo/velt/delete", asked, {}).get_json() == {"deleted": False}


@pytest.mark.parametrize("command", [["worker"], ["workspace", "get"]])
def test_commands_that_call_velt_explain_the_missing_token(
    resolver_environment: Environment, velt: Velt, command: list[str]
) -> None:
    env = plain_environment({**resolver_environment, **ALONE, **WITHOUT})
    done = subprocess.run(
        [*RESOLVER, *command], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "VELT_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert velt.ledger() == []
