"""Connecting: which URLs, and never a password in an error."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from redis import RedisError

from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.errors import SettingsError
from resolver.store.connect import connect


def test_a_unix_socket_works(redis_server: LocalRedis) -> None:
    assert connect(Secret.of(redis_server.url), 2).ping()


@pytest.mark.single_server
def test_a_user_and_password_are_presented_over_a_unix_socket(tmp_path: Path) -> None:
    """The default user is off, so a client that sends a password without a user name is refused."""
    server = LocalRedis(tmp_path)
    try:
        path = server.url.removeprefix("unix://")
        connect(Secret.of(server.url), 2).acl_setuser(
            "app", enabled=True, passwords=["+pass word"], keys=["*"], commands=["+@all"]
        )
        own = connect(Secret.of(f"unix://app:pass%20word@{path}"), 2)
        own.acl_setuser("default", enabled=False)
        assert own.acl_whoami() in (b"app", "app")
        with pytest.raises(RedisError):
            connect(Secret.of(f"unix://:pass%20word@{path}"), 2).ping()
    finally:
        server.stop()


@pytest.mark.parametrize("url", ["redis://:pa55word@host:notaport/0", "gopher://pa55word@host"])
def test_unusable_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        connect(Secret.of(url), 2)
    assert "pa55word" not in str(caught.value)


def test_silent_server_times_out_within_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(Secret.of(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), 2)
        started = time.monotonic()
        with pytest.raises(RedisError):
            client.get("x")
        assert time.monotonic() - started < 1.2
        client.close()
