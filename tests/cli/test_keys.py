from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import CliRunner

from resolver.cli import main
from resolver.config import load
from resolver.privacy.eraser import Eraser
from tests.erasing import erasure_request, filed
from tests.support import BACKEND, Api, environment, notification


def test_fresh_secrets_make_a_valid_production_environment() -> None:
    lines = CliRunner().invoke(main, ["keys", "new"]).output.splitlines()
    fresh = dict(line.split("=", 1) for line in lines)
    settings = load({**environment(), **fresh, "RESOLVER_MODE": "production"})
    assert list(settings.caller_tokens) == ["backend"]


def test_keys_new_prints_different_secrets_each_time() -> None:
    runs = [json.loads(CliRunner().invoke(main, ["keys", "new", "--json"]).output) for _ in range(2)]
    assert not set(runs[0].values()) & set(runs[1].values())


def test_keys_status_counts_the_idempotency_secret_and_erasures_apart_from_commands(
    make_api: Callable[..., Api], make_eraser: Callable[..., Eraser], resolver_environment: dict[str, str]
) -> None:
    data = notification()
    del data["notificationId"]
    deferred = make_api(RESOLVER_REGISTRATION="deferred")
    deferred.post("/v2/notifications/add", {"data": data}, {**BACKEND, "idempotency-key": "order-1042"})
    filed(make_eraser(), erasure_request("nobody-here"))
    done = CliRunner().invoke(main, ["keys", "status", "--json"], env=resolver_environment)
    counts = {name: count for name, count in json.loads(done.output)["keys"]["k1"].items() if name != "since"}
    assert counts == {
        "records": 1,
        "commands": 1,
        "revocations": 0,
        "erasureEntries": 1,
        "idempotencySecrets": 1,
        "unfinishedDeletions": 0,
        "advice": "Seals.",
    }
    expected = "1 record, 1 command, 1 erasure entry, 1 idempotency secret"
    for command in ("keys status", "check"):
        printed = CliRunner().invoke(main, command.split(), env=resolver_environment).output
        assert expected in printed, printed


def test_keys_status_says_once_which_key_seals_and_since_when_it_is_used(
    api: Api, resolver_environment: dict[str, str]
) -> None:
    api.add()
    CliRunner().invoke(main, ["keys", "rotate"], env=resolver_environment)
    printed = CliRunner().invoke(main, ["keys", "status"], env=resolver_environment).output
    line = printed.splitlines()[0]
    assert line.startswith("k1: 1 record. Seals. In use since 20"), line
    assert line.lower().count("seals") == 1


def test_keys_status_says_of_an_unused_key_that_it_opens_nothing(
    resolver_environment: dict[str, str],
) -> None:
    printed = CliRunner().invoke(main, ["keys", "status"], env=resolver_environment).output
    assert printed.startswith("k1: nothing. Seals."), printed
