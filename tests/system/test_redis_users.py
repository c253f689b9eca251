"""`deploy/redis/`, as it is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis
from redis.exceptions import NoPermissionError

from resolver.cli import main
from resolver.cli.local_redis import LocalRedis
from tests.topologies import DEPLOY, Restricted

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
def test_the_user_may_not(server: Restricted, command: str) -> None:
    with Redis.from_url(server.url) as client, pytest.raises(NoPermissionError):
        client.execute_command(command)


def test_nobody_gets_in_by_the_file_alone() -> None:
    default, resolver = (DEPLOY / "redis" / "users.acl").read_text().splitlines()
    assert default == "user default off"
    assert not {word for word in resolver.split() if word.startswith((">", "#")) or word == "nopass"}


def test_check_is_content_with_it(server: Restricted, resolver_environment: dict[str, str]) -> None:
    environment = {**resolver_environment, "REDIS_URL": server.url, "RESOLVER_DURABILITY": "aof-always"}
    checked = CliRunner().invoke(main, ["check"], env=environment)
    assert checked.exit_code == 0, checked.output
    assert "resolver" in checked.output


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
