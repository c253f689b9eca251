"""Another index key: every record has its new name, nobody is served meanwhile, and old signatures count."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.record import Record
from resolver.vault.keyspace import FINGERPRINT_KEY, FORMER_SIGNERS
from tests.cli.test_rotation import drained
from tests.erasing import done, order
from tests.support import Api, Velt, key, keys_of
from tests.system.conftest import RESOLVER, plain_environment

MakeApi = Callable[..., Api]
Environment = dict[str, str]
NEW = {"RESOLVER_INDEX_KEY": key(77)}


@pytest.fixture
def new_key(tmp_path: Path) -> Path:
    path = tmp_path / "new.key"
    path.write_text(key(77) + "\n")
    return path


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=env)


def reindex(env: Environment, new_key: Path) -> Result:
    return run(env, "keys", "reindex", str(new_key), "--yes", "--json")


def fill(api: Api, count: int) -> None:
    for n in range(count):
        content = b'{"displayBodyMessage":"%d"}' % n
        api.services.vault.put(Record("acme", f"n-{n}", "d", "ana", ("ben",), False, content=content))


def test_everything_is_found_under_the_new_key_and_lives_as_long_as_before(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, new_key: Path
) -> None:
    fill(make_api(), 1200)
    before = sorted(redis.pttl(name) for name in keys_of(redis))
    told = reindex(resolver_environment, new_key)
    assert told.exit_code == 0, told.output
    outcome = json.loads(told.stdout.splitlines()[0])
    assert (outcome["done"], outcome["unreadable"]) == (1200, 0)
    after = sorted(redis.pttl(name) for name in keys_of(redis))
    assert len(after) == 1200
    assert all(0 <= was - left < 20_000 for was, left in zip(before, after, strict=True))
    api = make_api(**NEW)
    assert api.read("n-0", "n-1199").keys() == {"n-0", "n-1199"}
    assert make_api().add().status_code == 503, "the old key opens nothing any more"
    again = reindex(resolver_environment, new_key)
    assert "Done already" in again.output


def test_killed_half_way_nobody_is_served_until_the_second_run_has_finished(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, new_key: Path
) -> None:
    fill(make_api(), 3000)
    arguments = ["keys", "reindex", str(new_key), "--yes"]
    old_names = set(keys_of(redis))
    with subprocess.Popen([*RESOLVER, *arguments], env=plain_environment(resolver_environment)) as first:
        while old_names <= set(keys_of(redis)) and first.poll() is None:
            time.sleep(0.005)
        first.kill()
    assert make_api().add().status_code == 503
    assert make_api(**NEW).add().status_code == 503
    assert reindex(resolver_environment, new_key).exit_code == 0
    held = list(make_api(**NEW).services.vault.scan())
    assert {record.notification for record in held} == {f"n-{n}" for n in range(3000)}
    assert len(keys_of(redis)) == 3000


def test_while_commands_wait_nothing_is_changed(
    make_api: MakeApi, resolver_environment: Environment, velt: Velt, new_key: Path
) -> None:
    velt.break_with(status=503)
    make_api().add()
    told = reindex(resolver_environment, new_key)
    assert told.exit_code == 1
    assert "1 commands wait" in told.output
    assert make_api().read("n-1").keys() == {"n-1"}
    velt.mend()
    drained(resolver_environment)
    assert reindex(resolver_environment, new_key).exit_code == 0


def test_a_database_of_another_key_is_left_alone(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, new_key: Path
) -> None:
    make_api(RESOLVER_INDEX_KEY=key(55)).add()
    before = redis.get(FINGERPRINT_KEY)
    assert reindex(resolver_environment, new_key).exit_code == 1
    assert redis.get(FINGERPRINT_KEY) == before


def test_what_the_old_key_signed_goes_on_to_count_and_nobody_else_is_let_in(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: Callable[..., object],
    resolver_environment: Environment,
    kept: Path,
    redis: Redis,
    new_key: Path,
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, order("ben"))  # type: ignore[arg-type]
    old = json.loads(run(resolver_environment, "keys", "status", "--json").stdout)["publicKey"]
    assert reindex(resolver_environment, new_key).exit_code == 0
    status = json.loads(run({**resolver_environment, **NEW}, "keys", "status", "--json").stdout)
    assert status["formerPublicKeys"] == [old]
    assert run({**resolver_environment, **NEW}, "privacy", "verify", str(kept)).exit_code == 0
    redis.hset(FORMER_SIGNERS, "c3RyYW5nZXI=", "c2lnbmVk")
    status = json.loads(run({**resolver_environment, **NEW}, "keys", "status", "--json").stdout)
    assert status["formerPublicKeys"] == [old]
