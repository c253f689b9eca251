"""`resolver check`: one line for each check, and an exit status for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.cli import main
from resolver.notifications.add import mint_id
from resolver.store.keyspace import IDENTITY_KEY
from resolver.store.record import Record
from tests.support import Api, Velt, key, keys_of, stored


def check(env: dict[str, str]) -> tuple[int, dict[str, list[str]]]:
    """Return the exit status, and the texts by "outcome about"."""
    done = CliRunner().invoke(main, ["check", "--json"], env=env)
    texts: dict[str, list[str]] = {}
    for finding in json.loads(done.output):
        texts.setdefault(f"{finding['outcome']} {finding['about']}", []).append(finding["text"])
    return done.exit_code, texts


def test_check_passes_for_a_good_deployment(resolver_environment: dict[str, str]) -> None:
    status, found = check(resolver_environment)
    assert status == 0
    assert "empty" in found["ok vault"][0]
    assert {"ok settings", "ok redis", "ok vault", "ok velt"} <= found.keys()
    assert not [name for name in found if name.startswith("fail")]


def test_check_leaves_an_empty_database_empty(resolver_environment: dict[str, str], redis: Redis) -> None:
    check(resolver_environment)
    assert redis.keys() == []


def test_check_fails_for_a_database_of_an_earlier_schema(
    api: Api, resolver_environment: dict[str, str], redis: Redis
) -> None:
    """It says so, instead of counting records that don't open."""
    api.add()
    redis.set(IDENTITY_KEY, b"2:" + stored(redis, IDENTITY_KEY).split(b":", 1)[1])
    status, found = check(resolver_environment)
    assert status == 1
    (text,) = found["fail vault"]
    assert "has schema 2" in text
    assert "this version reads 3 only" in text


def test_check_prints_one_line_per_finding(resolver_environment: dict[str, str]) -> None:
    lines = CliRunner().invoke(main, ["check"], env=resolver_environment).output.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "fail") for line in lines)


def test_check_lists_every_problem_of_the_settings() -> None:
    status, found = check({"VELT_API_KEY": "", "RESOLVER_MODE": "odd"})
    assert status == 1
    assert len(found["fail settings"]) >= 5


def test_check_warns_of_user_ids_that_look_like_addresses(
    api: Api, resolver_environment: dict[str, str]
) -> None:
    api.add(notifyUsers=[{"userId": "ben@example.com"}, {"userId": "dan"}])
    status, found = check(resolver_environment)
    assert status == 0
    assert found["warn privacy"] == ["1 of 3 user ids look like e-mail addresses, and Velt receives user ids"]


def test_check_warns_of_notification_ids_with_a_meaning(
    api: Api, resolver_environment: dict[str, str]
) -> None:
    for id_ in ("order-1042-shipped", "Vq3xZ8rT1mK5wY7cN0aB2dLf", "550e8400-e29b-41d4-a716-446655440000"):
        api.add(notificationId=id_)
    status, found = check(resolver_environment)
    assert status == 0
    (text,) = [text for text in found["warn privacy"] if "Idempotency-Key" in text]
    assert text.startswith("1 of 3 notification ids")


def test_check_does_not_warn_of_minted_notification_ids(
    api: Api, resolver_environment: dict[str, str]
) -> None:
    for n in range(60):
        api.services.store.put(Record("acme", mint_id(), f"d-{n}", "ana"))
    _, found = check(resolver_environment)
    assert "Idempotency-Key" not in str(found)


@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ({"status": 429}, "warn", "limits our calls"),
        ({"status": 403, "errorStatus": "PERMISSION_DENIED"}, "fail", "refuses our credentials"),
        ({"status": 400, "errorStatus": "INVALID_ARGUMENT"}, "fail", "workspace's settings"),
    ],
    ids=str,
)
def test_check_tells_wrong_credentials_from_other_refusals_of_velt(
    resolver_environment: dict[str, str], velt: Velt, *, fault: dict[str, Any], outcome: str, words: str
) -> None:
    velt.break_with(**fault)
    _, found = check(resolver_environment)
    assert words in found[f"{outcome} velt"][0]


def test_check_fails_when_redis_is_unreachable(resolver_environment: dict[str, str]) -> None:
    status, found = check({**resolver_environment, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert status == 1
    assert "fail redis" in found


def test_check_fails_when_redis_may_evict(resolver_environment: dict[str, str], redis: Redis) -> None:
    try:
        redis.config_set("maxmemory-policy", "volatile-lru")
        status, found = check(resolver_environment)
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert status == 1
    assert "volatile-lru" in found["fail redis"][0]


@pytest.mark.single_server
def test_check_fails_without_append_only_file_unless_declared(
    resolver_environment: dict[str, str],
) -> None:
    status, found = check({**resolver_environment, "RESOLVER_DURABILITY": ""})
    assert (status, any("append-only" in text for text in found["fail redis"])) == (1, True)
    assert check({**resolver_environment, "RESOLVER_DURABILITY": "managed"})[0] == 0


@pytest.mark.single_server
def test_check_fails_when_redis_is_less_durable_than_declared(
    resolver_environment: dict[str, str], redis: Redis
) -> None:
    try:
        redis.config_set("appendonly", "yes")
        redis.config_set("appendfsync", "everysec")
        assert check({**resolver_environment, "RESOLVER_DURABILITY": "aof-everysec"})[0] == 0
        status, found = check({**resolver_environment, "RESOLVER_DURABILITY": "aof-always"})
        assert (status, "everysec" in found["fail redis"][0]) == (1, True)
    finally:
        redis.config_set("appendonly", "no")


def test_check_fails_when_commands_are_due_without_a_worker(
    make_api: Callable[..., Api], resolver_environment: dict[str, str]
) -> None:
    make_api(RESOLVER_REGISTRATION="deferred").add()
    status, found = check(resolver_environment)
    assert (status, "no worker is alive" in found["fail outbox"][0]) == (1, True)


def test_check_fails_for_another_lookup_key(api: Api, resolver_environment: dict[str, str]) -> None:
    api.add()
    status, found = check({**resolver_environment, "RESOLVER_INDEX_KEY": key(77)})
    assert status == 1
    assert "index key" in found["fail vault"][0]


def test_check_fails_when_records_are_unreadable(
    api: Api, resolver_environment: dict[str, str], redis: Redis
) -> None:
    api.add()
    redis.set(keys_of(redis)[0], b"damaged")
    status, found = check(resolver_environment)
    assert (status, found["fail vault"]) == (1, ["1 record does not open with these keys"])


def test_check_reports_where_the_audit_trail_goes(
    make_api: Callable[..., Api], resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    served, mine = tmp_path / "served.log", tmp_path / "nowhere" / "mine.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(served))
    api.add()
    api.services.trail.close()
    streamed = check({**resolver_environment, "RESOLVER_AUDIT_LOG": "-"})[1]
    assert "keep both" in streamed["ok audit"][0]
    whole = check({**resolver_environment, "RESOLVER_AUDIT_LOG": str(served)})[1]
    assert whole["ok audit"] == [f"goes to {served}"]
    missing = check({**resolver_environment, "RESOLVER_AUDIT_LOG": str(mine)})
    assert missing[1]["fail audit"] == [f"goes to {mine}: No such file or directory"]
    mine.parent.mkdir()
    begins = check({**resolver_environment, "RESOLVER_AUDIT_LOG": str(mine)})[1]
    assert begins["ok audit"][0] == f"goes to {mine}", "its first line makes the file"
    mine.write_text("")
    (_, elsewhere) = check({**resolver_environment, "RESOLVER_AUDIT_LOG": str(mine)})[1]["ok audit"]
    assert "1 process wrote elsewhere since yesterday" in elsewhere


@pytest.mark.parametrize("broken", [{"VELT_AUTH_TOKEN": "wrong-one"}, {"VELT_API_URL": "http://127.0.0.1:1"}])
def test_check_fails_when_velt_refuses_or_is_unreachable(
    resolver_environment: dict[str, str], broken: dict[str, Any]
) -> None:
    status, found = check({**resolver_environment, **broken})
    assert status == 1
    assert "fail velt" in found


def test_check_prints_no_secret(resolver_environment: dict[str, str], velt: Velt) -> None:
    printed = CliRunner().invoke(main, ["check"], env=resolver_environment).output
    for name, value in resolver_environment.items():
        if "KEY" in name or "TOKEN" in name:
            assert value.split(":")[-1] not in printed
