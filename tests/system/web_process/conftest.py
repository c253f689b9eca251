"""A service that is one process, with a Redis of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resolver.cli.local_redis import LocalRedis
from tests.support import environment
from tests.system.conftest import Served, serving
from tests.system.web_process.clients import Environment


@pytest.fixture(scope="module")
def redis_of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    server = LocalRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def alone(redis_of_ours: LocalRedis, sandbox_url: str) -> Environment:
    """Settings of one web process without an embedded worker: gunicorn's master has one child."""
    return environment(
        REDIS_URL=redis_of_ours.url,
        VELT_API_URL=sandbox_url,
        RESOLVER_LOG_LEVEL="error",
        RESOLVER_DURABILITY="none",
        RESOLVER_WORKER="separate",
        RESOLVER_DRAIN_SECONDS="0",
    )


@pytest.fixture(scope="module")
def web_process(alone: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests of a module that leave it as they found it."""
    with serving(alone, tmp_path_factory.mktemp("served") / "log") as running:
        yield running
        assert "Traceback" not in running.log, running.log
        assert "Socket error" not in running.log, running.log
