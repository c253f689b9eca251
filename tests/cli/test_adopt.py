"""`resolver keys adopt`: another deployment takes over a database only on purpose, and with an audit line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.store.keyspace import IDENTITY_KEY
from tests.support import BACKEND, JSON, Api, Velt, key, notification

MakeApi = Callable[..., Api]
Environment = dict[str, str]
OTHER = {"VELT_API_KEY": "the-api-key-of-another-environment"}
ADD = "/v2/notifications/add"


def adopt(env: Environment, *options: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, ["keys", "adopt", *options], env=env, input=answer)


def verify(env: Environment, trail: Path) -> JSON:
    found = CliRunner().invoke(main, ["audit", "verify", str(trail), "--json"], env=env)
    report: JSON = json.loads(found.stdout)
    return report


def test_a_second_deployment_with_copied_secrets_shares_nothing(make_api: MakeApi, velt: Velt) -> None:
    assert make_api(RESOLVER_REGISTRATION="deferred").add().status_code == 200
    copied = make_api(**OTHER)
    as_backend = {**BACKEND, "x-velt-api-key": OTHER["VELT_API_KEY"]}
    assert copied.post(ADD, {"data": notification()}, as_backend).status_code == 503
    assert copied.client.get("/readyz").get_json()["redis"] == "foreign"
    assert velt.ledger() == []


def test_keys_adopt_moves_the_database_and_is_on_record(
    make_api: MakeApi, resolver_environment: Environment, tmp_path: Path
) -> None:
    trail = tmp_path / "audit.log"
    make_api(RESOLVER_REGISTRATION="deferred").add()
    told = adopt({**resolver_environment, **OTHER, "RESOLVER_AUDIT_LOG": str(trail)}, answer="y\n")
    assert told.exit_code == 0, told.output
    assert "1 commands wait" in told.stderr
    assert make_api(**OTHER).client.get("/readyz").get_json()["redis"] == "ok"
    assert make_api().add().status_code == 503, "the former key's processes are refused"
    (line,) = [json.loads(line) for line in trail.read_bytes().splitlines() if b"keys adopt" in line]
    assert (line["surface"], line["outcome"], line["who"]["kind"]) == ("cli", "ok", "ops")
    assert OTHER["VELT_API_KEY"] not in trail.read_text(encoding="utf-8")


def test_keys_adopt_anchors_its_line_and_reports_no_wrong_database(
    make_api: MakeApi, resolver_environment: Environment, tmp_path: Path
) -> None:
    """Redis knows the end of the command's chain, so that `audit verify` misses it when it is cut off."""
    make_api().add()
    trail = tmp_path / "audit.log"
    moved = {**resolver_environment, **OTHER, "RESOLVER_AUDIT_LOG": str(trail)}
    told = adopt(moved, "--yes")
    assert (told.exit_code, told.stderr) == (0, "")
    assert verify(moved, trail)["problems"] == []
    lines = trail.read_bytes().splitlines(keepends=True)
    assert any(b'"keys adopt"' in line for line in lines)
    trail.write_bytes(b"".join(lines[:-1]))
    assert verify(moved, trail)["problems"] != []


def test_keys_adopt_asks_first(make_api: MakeApi, resolver_environment: Environment, redis: Redis) -> None:
    make_api().add()
    before = redis.get(IDENTITY_KEY)
    assert adopt({**resolver_environment, **OTHER}, answer="n\n").exit_code == 1
    assert redis.get(IDENTITY_KEY) == before


def test_keys_adopt_says_so_when_there_is_nothing_to_do(
    make_api: MakeApi, resolver_environment: Environment
) -> None:
    make_api().add()
    told = adopt(resolver_environment, "--json")
    assert json.loads(told.stdout) == {"adopted": False}


def test_keys_adopt_refuses_a_database_of_another_lookup_key(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis
) -> None:
    make_api().add()
    before = redis.get(IDENTITY_KEY)
    told = adopt({**resolver_environment, **OTHER, "RESOLVER_INDEX_KEY": key(55)}, "--yes")
    assert told.exit_code == 1
    assert "another index key" in told.output
    assert redis.get(IDENTITY_KEY) == before


def test_keys_adopt_refuses_a_database_without_identity(resolver_environment: Environment) -> None:
    told = adopt({**resolver_environment, **OTHER}, "--yes")
    assert told.exit_code == 1
    assert "no identity yet" in told.output
