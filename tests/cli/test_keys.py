from __future__ import annotations

import json

from click.testing import CliRunner

from resolver.cli import main
from resolver.settings import load
from tests.support import environment


def test_fresh_secrets_make_a_valid_production_environment() -> None:
    lines = CliRunner().invoke(main, ["keys", "new"]).output.splitlines()
    fresh = dict(line.split("=", 1) for line in lines)
    settings = load({**environment(), **fresh, "RESOLVER_MODE": "production"})
    assert list(settings.caller_tokens) == ["backend"]


def test_they_are_fresh_each_time_and_come_as_json_too() -> None:
    runs = [json.loads(CliRunner().invoke(main, ["keys", "new", "--json"]).output) for _ in range(2)]
    assert not set(runs[0].values()) & set(runs[1].values())
