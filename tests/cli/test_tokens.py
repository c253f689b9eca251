"""`resolver tokens revoke`, and its revocations after a change of keys or the erasure of a person."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.config.secret import Secret
from resolver.privacy.eraser import Eraser
from resolver.store.keyspace import REVOCATION_PATTERN, Keyspace
from tests.erasing import done, erasure_request
from tests.support import Api, key, keys_of, signed

MakeApi = Callable[..., Api]
Environment = dict[str, str]
OLD, BOTH, NEW = f"k1:{key(1)}", f"k2:{key(2)},k1:{key(1)}", f"k2:{key(2)}"


def run(env: Environment, *arguments: str, **changes: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**env, **changes})


def revoke(env: Environment, *arguments: str) -> Result:
    return run(env, "tokens", "revoke", "--user", "ben", *arguments)


def status_of(api: Api, organization: str = "acme") -> int:
    """Read with a token of Ben's that was issued a minute ago. Returns the status, and 204 for no content."""
    token = signed("ben", "acme", "zeta", iat=int(time.time()) - 60)
    body = {"organizationId": organization, "notificationIds": ["n-1"]}
    reply = api.post("/api/velt/notifications/get", body, {"authorization": f"Bearer {token}"})
    return 204 if reply.status_code == 200 and not reply.get_json()["data"] else reply.status_code


@pytest.fixture
def api(api: Api) -> Api:
    for organization in ("acme", "zeta"):
        api.add(organizationId=organization)
    return api


def test_tokens_revoke_applies_everywhere_or_in_one_organization(
    api: Api, resolver_environment: Environment
) -> None:
    told = revoke(resolver_environment, "--organization", "acme")
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("Tokens of ben that were issued until 20")
    assert "A token of this same second is revoked too" in told.stdout
    assert (status_of(api), status_of(api, "zeta")) == (204, 200)
    found = json.loads(revoke(resolver_environment, "--json").stdout)
    assert found.keys() == {"userId", "organizationId", "revokedAt"}
    assert (found["userId"], found["organizationId"]) == ("ben", None)
    assert abs(found["revokedAt"] - time.time()) < 5
    assert (status_of(api), status_of(api, "zeta")) == (401, 401)


@pytest.mark.parametrize("arguments", [["--organization", ""], ["--user", ""], ["--organization", " "]])
def test_tokens_revoke_refuses_an_empty_id(
    api: Api, resolver_environment: Environment, arguments: list[str], redis: Redis
) -> None:
    """A script's variable that isn't set must not read as an option that was left out."""
    assert revoke(resolver_environment, *arguments).exit_code == 2
    assert keys_of(redis, REVOCATION_PATTERN) == []


def test_tokens_revoke_is_audited_before_it_takes_effect(
    resolver_environment: Environment, tmp_path: Path
) -> None:
    log = tmp_path / "audit.log"
    revoke({**resolver_environment, "RESOLVER_AUDIT_LOG": str(log)}, "--organization", "acme")
    lines = [line for line in map(orjson.loads, log.read_bytes().splitlines()) if "who" in line]
    (line,) = lines
    assert (line["action"], line["organization"], line["ids"]) == ("tokens revoke", "acme", ["ben"])
    assert line["who"]["kind"] == "ops"


def test_tokens_revoke_fails_when_redis_is_down(resolver_environment: Environment) -> None:
    told = revoke({**resolver_environment, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert told.exit_code == 1
    assert "revoked" not in told.stdout


def test_revocations_survive_the_rotation_of_the_master_key(
    make_api: MakeApi, resolver_environment: Environment
) -> None:
    make_api().add()
    revoke(resolver_environment)
    revoke(resolver_environment, "--organization", "acme")

    def usage() -> dict[str, int]:
        shown = json.loads(
            run(resolver_environment, "keys", "status", "--json", RESOLVER_MASTER_KEYS=BOTH).stdout
        )
        return {name: used["revocations"] for name, used in shown["keys"].items()}

    assert usage() == {"k2": 0, "k1": 2}
    status = run(resolver_environment, "keys", "status", RESOLVER_MASTER_KEYS=BOTH).output
    assert "2 revocations" in status
    rotated = run(resolver_environment, "keys", "rotate", "--json", RESOLVER_MASTER_KEYS=BOTH)
    assert rotated.exit_code == 0, rotated.output
    assert usage() == {"k2": 2, "k1": 0}
    after = make_api(RESOLVER_MASTER_KEYS=NEW)
    assert status_of(after) == 401
    assert after.services.revocations.unreadable == 0


def test_master_key_is_reported_in_use_while_it_seals_a_revocation(
    make_api: MakeApi, resolver_environment: Environment
) -> None:
    make_api()
    revoke(resolver_environment)
    env = {**resolver_environment, "RESOLVER_MASTER_KEYS": BOTH}
    assert "Can be withdrawn" not in run(env, "keys", "status").output
    assert "k1 still opens" in run(env, "check").output


def test_revocations_survive_a_reindex(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, tmp_path: Path
) -> None:
    make_api().add()
    make_api().add(organizationId="zeta")
    revoke(resolver_environment, "--organization", "acme")
    run(resolver_environment, "tokens", "revoke", "--user", "zoe")
    new_key = tmp_path / "new.key"
    new_key.write_text(key(77))
    told = run(resolver_environment, "keys", "reindex", str(new_key), "--yes", "--json")
    assert told.exit_code == 0, told.output
    keyspace = Keyspace(Secret(base64.b64decode(key(77))))
    expected = {keyspace.revocation("ben", "acme"), keyspace.revocation("zoe")}
    assert {name.decode() for name in keys_of(redis, REVOCATION_PATTERN)} == expected
    after = make_api(RESOLVER_INDEX_KEY=key(77))
    assert (status_of(after), status_of(after, "zeta")) == (204, 200)
    assert after.services.revocations.unreadable == 0


def test_reindex_stops_at_an_unreadable_revocation(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, tmp_path: Path
) -> None:
    make_api()
    revoke(resolver_environment)
    (name,) = keys_of(redis, REVOCATION_PATTERN)
    redis.set(name, b"damaged")
    new_key = tmp_path / "new.key"
    new_key.write_text(key(77))
    told = run(resolver_environment, "keys", "reindex", str(new_key), "--yes")
    assert told.exit_code == 1
    assert name.decode() in told.output


def test_revocations_are_exported_and_not_erased(
    api: Api, resolver_environment: Environment, make_eraser: Callable[..., Eraser]
) -> None:
    revoke(resolver_environment)
    revoke(resolver_environment, "--organization", "acme")
    run(resolver_environment, "tokens", "revoke", "--user", "zoe")

    def listed(*more: str) -> list[str | None]:
        shown = run(resolver_environment, "privacy", "export", "--user", "ben", *more)
        found = [json.loads(line) for line in shown.stdout.splitlines()]
        assert found[-1]["complete"]
        return sorted(
            item.get("organizationId", "everywhere")
            for item in found
            if item["type"] == "revocation" and item["userId"] == "ben"
        )

    assert listed() == ["acme", "everywhere"]
    assert listed("--org", "zeta") == ["everywhere"]
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    assert listed() == ["acme", "everywhere"]
    assert status_of(api) == 401


def test_export_is_incomplete_when_a_revocation_is_unreadable(
    api: Api, resolver_environment: Environment, redis: Redis
) -> None:
    revoke(resolver_environment)
    (name,) = keys_of(redis, REVOCATION_PATTERN)
    redis.set(name, b"damaged")
    shown = run(resolver_environment, "privacy", "export", "--user", "ben")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout.splitlines()[-1])["unreadable"] == 1
