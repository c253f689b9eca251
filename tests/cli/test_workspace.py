from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from resolver.cli import main
from tests.support import Velt


def run(env: dict[str, str], *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["workspace", *arguments], env=env, input=text)


def test_workspace_get_shows_what_was_set(resolver_environment: dict[str, str]) -> None:
    wanted = {"notificationServiceConfig": {"delayConfig": {"isEnabled": True, "delaySeconds": 30}}}
    set_ = run(resolver_environment, "set", "-", text=json.dumps({"data": wanted}))
    got = run(resolver_environment, "get")
    assert set_.exit_code == got.exit_code == 0
    assert json.loads(got.output)["notificationServiceConfig"]["delayConfig"]["delaySeconds"] == 30


@pytest.mark.parametrize("text", ["{}", '{"notificationServiceConfig":{"delayConfig":{"delaySeconds":9}}}'])
def test_workspace_set_refuses_what_velt_would_refuse(
    resolver_environment: dict[str, str], velt: Velt, text: str
) -> None:
    done = run(resolver_environment, "set", "-", text=text)
    assert (done.exit_code, done.output.startswith("Error: ")) == (1, True)
    assert velt.ledger() == []


def test_workspace_command_prints_velts_refusal_as_one_line(resolver_environment: dict[str, str]) -> None:
    done = run({**resolver_environment, "VELT_AUTH_TOKEN": "wrong"}, "get")
    assert (done.exit_code, done.output) == (1, "Error: Velt refused: PERMISSION_DENIED\n")
