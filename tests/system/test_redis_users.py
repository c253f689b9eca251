"""The Redis settings and users that `deploy/redis/` ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from resolver.cli import main
from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis, find_server
from resolver.config import load
from resolver.store.command import Command, Entry, Kind
from resolver.wiring import build_stores
from tests.store.conftest import record
from tests.support import environment, key
from tests.system.conftest import free_ports
from tests.topologies import DEPLOY, Restricted
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.single_server]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restricted]:
    running = Restricted(tmp_path)
    yield running
    running.stop()


@pytest.mark.parametrize(
    "command",
    [
        "KEYS *",
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET dir",
        "DEBUG SLEEP 0",
        "ACL LIST",
        "GET elsewhere",
        "MONITOR",
    ],
)
def test_restricted_user_may_not_run_other_commands(server: Restricted, command: str) -> None:
    with Redis.from_url(server.url) as client, pytest.raises(NoPermissionError):
        client.execute_command(command)


def test_users_file_without_a_password_lets_no_client_in() -> None:
    default, resolver = (DEPLOY / "redis" / "users.acl").read_text().splitlines()
    assert default.split()[:3] == ["user", "default", "off"]
    assert not {word for word in resolver.split() if word.startswith((">", "#")) or word == "nopass"}


def test_acknowledged_writes_survive_a_restart_with_the_shipped_users(tmp_path: Path) -> None:
    """Redis replays its append-only file as the default user. If that user had no rights, every transaction
    in the file would be lost."""
    shipped = (DEPLOY / "redis" / "users.acl").read_text()
    (tmp_path / "users.acl").write_text(
        shipped.replace("user resolver on", "user resolver on >test-password")
    )
    (port,) = free_ports(1)
    command = [
        find_server(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(tmp_path),
        "--save",
        "",
    ]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--aclfile", str(tmp_path / "users.acl")]
    url = f"redis://resolver:test-password@127.0.0.1:{port}/0"
    store = build_stores(load(environment(REDIS_URL=url))).store
    ids = [f"n-{number}" for number in range(20)]
    for restarted in (False, True):
        process = start_child([*command, "--logfile", str(tmp_path / "redis.log")])
        try:
            until(lambda: store.state() == "ok", "a Redis")
            if not restarted:
                for id_ in ids:
                    store.put(record(id_), Entry(Command(Kind.REGISTER, id_, {"organizationId": "acme"})))
            assert len(store.read("acme", ids)) == 20
            with Redis(port=port) as anonymous, pytest.raises(AuthenticationError):
                anonymous.ping()
        finally:
            stop_child(process)
    assert "CRITICAL" not in (tmp_path / "redis.log").read_text()


def test_check_finds_no_problem_with_the_restricted_user(
    server: Restricted, resolver_environment: dict[str, str]
) -> None:
    environment = {**resolver_environment, "REDIS_URL": server.url, "RESOLVER_DURABILITY": "aof-always"}
    checked = CliRunner().invoke(main, ["check"], env=environment)
    assert checked.exit_code == 0, checked.output
    assert "resolver" in checked.output


def test_restricted_user_may_revoke_tokens_and_keep_revocations_through_changes_of_keys(
    server: Restricted, resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**resolver_environment, "REDIS_URL": server.url}
    both = {**environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)},{environment['RESOLVER_MASTER_KEYS']}"}
    (tmp_path / "new.key").write_text(key(77))
    for env, *command in (
        (environment, "tokens", "revoke", "--user", "ben", "--organization", "acme"),
        (both, "keys", "rotate"),
        (both, "keys", "status"),
        (both, "keys", "reindex", str(tmp_path / "new.key"), "--yes"),
    ):
        done = CliRunner().invoke(main, command, env=env)
        assert done.exit_code == 0, done.output
    revocations = build_stores(load({**both, "RESOLVER_INDEX_KEY": key(77)})).revocations
    assert [(mark.user, mark.organization) for mark in revocations.scan()] == [("ben", "acme")]


def test_the_shipped_settings_start_a_redis_that_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    local = ("port", "tls-", "bind", "aclfile", "dir")
    lines = (DEPLOY / "redis" / "redis.conf").read_text().splitlines()
    kept = [line.split() for line in lines if line and not line.startswith(("#", *local))]
    running = LocalRedis(tmp_path, [word for name, *words in kept for word in (f"--{name}", " ".join(words))])
    try:
        with Redis.from_url(running.url) as client:
            found = client.config_get("append*", "maxmemory-policy")
        assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
        assert found["maxmemory-policy"] == "noeviction"
    finally:
        running.stop()
