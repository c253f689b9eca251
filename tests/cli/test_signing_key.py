"""RESOLVER_SIGNING_KEY: signatures outlive a change of it, and another deployment's aren't accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.errors import UnknownSigner
from resolver.privacy.eraser import Eraser
from resolver.store.keyspace import SIGNERS
from tests.erasing import done, erasure_request
from tests.support import JSON, SIGNING_KEY, Api, key

Environment = dict[str, str]
FORMER, NEW = SIGNING_KEY, key(21)


@pytest.fixture
def kept(resolver_environment: Environment, tmp_path: Path) -> Path:
    """The folder where the deployment keeps erasure certificates, and its audit trail beside it."""
    (folder := tmp_path / "certificates").mkdir()
    resolver_environment["RESOLVER_CERTIFICATE_DIR"] = str(folder)
    resolver_environment["RESOLVER_AUDIT_LOG"] = str(tmp_path / "audit.log")
    return folder


@pytest.fixture
def signed(kept: Path, make_eraser: Callable[..., Eraser], resolver_environment: Environment) -> Path:
    """A certificate and an audit trail that the former key has signed."""
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    assert run(resolver_environment, FORMER, "outbox", "retry", "--all").exit_code == 0
    return kept


def run(env: Environment, keys: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**env, "RESOLVER_SIGNING_KEY": keys})


def status(env: Environment, keys: str) -> JSON:
    found: JSON = json.loads(run(env, keys, "keys", "status", "--json").stdout)
    return found


@pytest.mark.parametrize("dropped", [False, True], ids=["both keys are listed", "the former one is dropped"])
def test_signatures_of_a_former_signing_key_stay_valid(
    signed: Path, resolver_environment: Environment, dropped: bool
) -> None:
    former = status(resolver_environment, FORMER)["publicKey"]
    # The first command with both keys notes that the new one trusts the former one.
    assert run(resolver_environment, f"{NEW},{FORMER}", "outbox", "retry", "--all").exit_code == 0
    keys = NEW if dropped else f"{NEW},{FORMER}"
    found = status(resolver_environment, keys)
    assert found["publicKey"] != former
    assert found["formerPublicKeys"] == [former]
    assert run(resolver_environment, keys, "privacy", "verify", str(signed)).exit_code == 0
    trail = str(signed.with_name("audit.log"))
    verified = run(resolver_environment, keys, "audit", "verify", trail)
    assert verified.exit_code == 0, verified.output


def test_keys_stay_trusted_over_several_changes(signed: Path, resolver_environment: Environment) -> None:
    for keys in (f"{NEW},{FORMER}", f"{key(22)},{NEW}"):
        assert run(resolver_environment, keys, "outbox", "retry", "--all").exit_code == 0
    assert len(status(resolver_environment, key(22))["formerPublicKeys"]) == 2
    assert run(resolver_environment, key(22), "privacy", "verify", str(signed)).exit_code == 0


def test_public_key_that_another_has_put_into_redis_is_not_trusted(
    signed: Path, resolver_environment: Environment, redis: Redis
) -> None:
    stranger = status(resolver_environment, key(99))["publicKey"]
    own = status(resolver_environment, FORMER)["publicKey"]
    redis.hset(SIGNERS, f"{own} {stranger}", "c2lnbmVk")
    redis.hset(SIGNERS, b"\xff", b"\xff")
    assert status(resolver_environment, FORMER)["formerPublicKeys"] == []


def test_command_with_an_unknown_signing_key_is_refused_and_not_audited(
    signed: Path, resolver_environment: Environment
) -> None:
    trail = signed.with_name("audit.log")
    before = trail.read_bytes()
    refused = run(resolver_environment, NEW, "outbox", "retry", "--all")
    assert (refused.exit_code, UnknownSigner.message in refused.output) == (1, True)
    assert trail.read_bytes() == before


def test_former_key_is_listed_as_accepted_only_when_its_private_key_can_be_dropped(
    signed: Path, resolver_environment: Environment
) -> None:
    both = f"{NEW},{FORMER}"
    former = status(resolver_environment, FORMER)["publicKey"]
    assert status(resolver_environment, both)["formerPublicKeys"] == []
    assert run(resolver_environment, both, "outbox", "retry", "--all").exit_code == 0
    # A process that was not restarted yet, and has the new key in second place.
    assert run(resolver_environment, f"{FORMER},{NEW}", "outbox", "retry", "--all").exit_code == 0
    assert status(resolver_environment, both)["formerPublicKeys"] == [former]
    assert run(resolver_environment, NEW, "privacy", "verify", str(signed)).exit_code == 0


def test_unknown_signing_key_is_accepted_on_purpose(signed: Path, resolver_environment: Environment) -> None:
    refused = run(resolver_environment, NEW, "privacy", "replay", str(signed))
    assert (refused.exit_code, "keys adopt" in refused.output) == (1, True)
    assert run(resolver_environment, NEW, "keys", "adopt", "--yes").exit_code == 0
    assert run(resolver_environment, NEW, "outbox", "retry", "--all").exit_code == 0
    assert run(resolver_environment, NEW, "privacy", "verify", str(signed)).exit_code == 1


def test_check_fails_with_an_unknown_signing_key(
    signed: Path, api: Api, resolver_environment: Environment
) -> None:
    api.add()
    assert UnknownSigner.message in run(resolver_environment, NEW, "check").output
    assert UnknownSigner.message not in run(resolver_environment, FORMER, "check").output


def test_another_lookup_key_signs_with_the_same_signing_key(resolver_environment: Environment) -> None:
    another = {**resolver_environment, "RESOLVER_INDEX_KEY": key(77)}
    found = [run(env, FORMER, "keys", "status", "--json") for env in (resolver_environment, another)]
    first = json.loads(found[0].stdout)["publicKey"]
    assert found[1].exit_code == 1 or json.loads(found[1].stdout)["publicKey"] == first


def test_certificate_with_pseudonyms_of_another_lookup_key_is_not_replayed(
    signed: Path, resolver_environment: Environment, tmp_path: Path, redis: Redis
) -> None:
    (new_key := tmp_path / "new.key").write_text(key(77))
    moved = run(resolver_environment, FORMER, "keys", "reindex", str(new_key), "--yes")
    assert moved.exit_code == 0, moved.output
    another = {**resolver_environment, "RESOLVER_INDEX_KEY": key(77)}
    refused = run(another, FORMER, "privacy", "replay", str(signed), "--again")
    assert refused.exit_code == 1
    assert "its pseudonyms were made with another RESOLVER_INDEX_KEY" in refused.output
