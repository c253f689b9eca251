"""Another index key: every record is renamed, no request is served meanwhile, and old signatures verify."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.config.secret import Secret
from resolver.store.database_identity import Identity
from resolver.store.keyspace import IDENTITY_KEY, KNOWN_ERASURES, Keyspace
from resolver.store.record import Record
from resolver.store.reindex import Reindex
from tests.cli.test_rotation import drained
from tests.support import API_KEY, Api, Velt, key, keys_of
from tests.system.conftest import RESOLVER, plain_environment
from tests.waiting import until

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


def identity_with(index_key: int) -> str:
    keyspace = Keyspace(Secret(base64.b64decode(key(index_key))))
    return Identity.of(keyspace, Secret.of(API_KEY)).text()


def closed_for_it() -> str:
    """The identity of a database on which it has begun, and renamed nothing."""
    return f"{identity_with(9)}?{identity_with(77)}"


def killed_after(step: Callable[[Reindex], bool]) -> Callable[[Reindex], bool]:
    def killed(work: Reindex) -> bool:
        step(work)
        raise KeyboardInterrupt

    return killed


def fill(api: Api, count: int) -> None:
    for n in range(count):
        content = b'{"displayBodyMessage":"%d"}' % n
        api.services.store.put(Record("acme", f"n-{n}", "d", "ana", ("ben",), False, content=content))


def test_reindex_moves_everything_with_its_expiry(
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


def test_requests_are_refused_until_an_interrupted_reindex_is_finished(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, new_key: Path
) -> None:
    fill(make_api(), 3000)
    arguments = ["keys", "reindex", str(new_key), "--yes"]
    old_names = set(keys_of(redis))
    with subprocess.Popen([*RESOLVER, *arguments], env=plain_environment(resolver_environment)) as first:
        try:
            until(lambda: not old_names <= set(keys_of(redis)), "some records have new names")
        finally:
            first.kill()
    assert make_api().add().status_code == 503
    assert make_api(**NEW).add().status_code == 503
    assert reindex(resolver_environment, new_key).exit_code == 0
    held = list(make_api(**NEW).services.store.scan())
    assert {record.notification for record in held} == {f"n-{n}" for n in range(3000)}
    assert len(keys_of(redis)) == 3000


def test_reindex_changes_nothing_while_commands_are_queued(
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


def test_reindex_refuses_a_database_of_another_lookup_key(
    make_api: MakeApi, resolver_environment: Environment, redis: Redis, new_key: Path
) -> None:
    make_api(RESOLVER_INDEX_KEY=key(55)).add()
    before = redis.get(IDENTITY_KEY)
    assert reindex(resolver_environment, new_key).exit_code == 1
    assert redis.get(IDENTITY_KEY) == before


@pytest.mark.single_server
def test_reindex_loses_nothing_when_redis_is_full(
    make_api: MakeApi,
    resolver_environment: Environment,
    redis: Redis,
    new_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(make_api(), 20)
    run_as_it_is = Reindex.run

    def full(work: Reindex) -> Iterator[Any]:
        redis.config_set("maxmemory", "1mb")
        yield from run_as_it_is(work)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Reindex, "run", full)
            told = reindex(resolver_environment, new_key)
    finally:
        redis.config_set("maxmemory", "0")
    assert told.exit_code == 1
    assert "nothing is lost" in told.output
    assert len(keys_of(redis)) == 20
    assert make_api().add().status_code == 503
    assert reindex(resolver_environment, new_key).exit_code == 0
    assert len(list(make_api(**NEW).services.store.scan())) == 20


def killed_after_a_batch(env: Environment, new_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_as_it_is = Reindex.run

    def killed(work: Reindex) -> Iterator[Any]:
        yield next(run_as_it_is(work))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Reindex, "run", killed)
        assert reindex(env, new_key).exit_code == 1


def test_reindex_cannot_be_cancelled_after_records_were_renamed(
    make_api: MakeApi,
    resolver_environment: Environment,
    redis: Redis,
    new_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(make_api(), 1200)
    killed_after_a_batch(resolver_environment, new_key, monkeypatch)
    redis.zadd("{p00}q", {"latecomer": 1})
    assert reindex(resolver_environment, new_key).exit_code == 0
    assert len(list(make_api(**NEW).services.store.scan())) == 1200


def test_reindex_can_be_cancelled_before_the_first_record_is_renamed(
    make_api: MakeApi,
    resolver_environment: Environment,
    velt: Velt,
    new_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    velt.break_with(status=503)
    make_api().add()
    with monkeypatch.context() as patch:
        patch.setattr(Reindex, "begin", killed_after(Reindex.begin))
        assert reindex(resolver_environment, new_key).exit_code == 1
    assert make_api().add().status_code == 503
    assert "Nothing was changed" in reindex(resolver_environment, new_key).output
    assert make_api().read("n-1").keys() == {"n-1"}


def test_reindex_does_not_finish_while_records_are_unreadable(
    make_api: MakeApi, resolver_environment: Environment, new_key: Path
) -> None:
    both = {"RESOLVER_MASTER_KEYS": f"k1:{key(1)},k2:{key(2)}"}
    make_api().add()
    make_api(RESOLVER_MASTER_KEYS=f"k2:{key(2)}").add(notificationId="n-2")
    told = reindex(resolver_environment, new_key)
    assert told.exit_code == 1
    assert "1 records do not open" in told.output
    assert "RESOLVER_MASTER_KEYS" in told.output
    assert make_api(**NEW).add().status_code == 503
    assert reindex({**resolver_environment, **both}, new_key).exit_code == 0
    assert make_api(**NEW, **both).read("n-1", "n-2").keys() == {"n-1", "n-2"}


def test_reindex_is_refused_until_erasures_are_replayed(
    make_api: MakeApi, resolver_environment: Environment, kept: Path, redis: Redis, new_key: Path
) -> None:
    make_api().add()
    (kept / f"{'0' * 32}.json").write_text("{}")
    before = redis.get(IDENTITY_KEY)
    told = reindex(resolver_environment, new_key)
    assert told.exit_code == 1
    assert "replay" in told.output
    assert redis.get(IDENTITY_KEY) == before
    redis.set(IDENTITY_KEY, closed_for_it())
    assert reindex(resolver_environment, new_key).exit_code == 1
    assert redis.get(IDENTITY_KEY) == before, "else no replay were possible"
    redis.sadd(KNOWN_ERASURES, "0" * 32)
    assert reindex(resolver_environment, new_key).exit_code == 0
