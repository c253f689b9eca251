"""Fixtures of real components for all tests: a Redis server, and the Velt sandbox over HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from redis import Redis
from xdist.scheduler import LoadFileScheduling

from resolver.app import create_app
from resolver.config import load
from resolver.privacy.eraser import Eraser
from resolver.sandbox import create_app as create_sandbox
from resolver.sandbox import start
from resolver.store import connect
from resolver.wiring import Services, build_eraser, build_stores, build_trail
from tests.support import API_KEY, VELT_TOKEN, Api, Velt, environment
from tests.topologies import TOPOLOGIES, RedisServer, close

# The number of examples of each generated test that sets none itself.
for name, examples in {"unit": 20, "sample": 150, "nightly": 30_000}.items():
    hypothesis.settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
    )
hypothesis.settings.load_profile("sample")


RUN_RESOLVER_DEV = {
    f"tests/system/test_{name}.py"
    for name in ("browser", "demo", "dev", "frontend_guide", "quick_start", "request_lines")
}
TOPOLOGY = os.environ.get("REDIS_TOPOLOGY", "single")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need a single server when another topology is tested."""
    if TOPOLOGY == "single":
        return
    about_one = [item for item in items if item.get_closest_marker("single_server")]
    config.hook.pytest_deselected(items=about_one)
    items[:] = [item for item in items if item not in about_one]


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Give all tests of a file to one process, since they share what they start. Tests that take the same
    ports go to one process, too."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "resolver dev" if file in RUN_RESOLVER_DEV else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test if REQUIRE_ALL is set, as where every program is installed."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL"):
        report.outcome = "failed"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-hot-path", action="store_true", help="Answer every request through Flask's own router."
    )
    parser.addoption("--write-corpus", action="store_true", help="Store one of everything in tests/corpus.")


@pytest.fixture(autouse=True)
def closed_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections that a test's resolvers opened. A process in production keeps them for life; here
    one process makes many resolvers, and each socket that the garbage collector finds open is a warning,
    which fails the test."""
    clients: list[Redis] = []

    def listed(make: Callable[..., Redis]) -> Callable[..., Redis]:
        def listing(*args: Any) -> Redis:
            clients.append(make(*args))
            return clients[-1]

        return listing

    for kind in ("_single", "_sentinel", "_cluster"):
        monkeypatch.setattr(connect, kind, listed(getattr(connect, kind)))
    yield
    for client in clients:
        close(client)
    for thread in threading.enumerate():
        if thread.name.startswith("redis-"):
            thread.join(30)  # connecting to a hung server takes until its time limit
            assert not thread.is_alive(), f"{thread.name} goes on"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of the session, of the kind that REDIS_TOPOLOGY names. The same tests must pass on each."""
    server = TOPOLOGIES[TOPOLOGY](tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """A client on an empty database."""
    client = redis_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with start(create_sandbox(API_KEY, VELT_TOKEN)) as running:
        yield running.url


@pytest.fixture
def velt(sandbox_url: str) -> Iterator[Velt]:
    sandbox = Velt(sandbox_url)
    sandbox.control("POST", "reset")
    yield sandbox
    sandbox.mend()


@pytest.fixture
def resolver_environment(redis_server: RedisServer, redis: Redis, velt: Velt) -> dict[str, str]:
    """The settings of a resolver on an empty Redis and a fresh sandbox."""
    return environment(
        REDIS_URL=redis_server.url,
        VELT_API_URL=velt.url,
        RESOLVER_LOG_LEVEL="error",
        RESOLVER_DURABILITY="none",
    )


@pytest.fixture
def make_api(
    resolver_environment: dict[str, str], pytestconfig: pytest.Config
) -> Iterator[Callable[..., Api]]:
    """Make a resolver with changed settings."""
    made: list[Api] = []
    hot_path = not pytestconfig.getoption("--no-hot-path")

    def make(**changes: str) -> Api:
        app = create_app(load({**resolver_environment, **changes}), hot_path=hot_path)
        made.append(Api(app.test_client(use_cookies=False)))
        return made[-1]

    yield make
    for api in made:
        api.services.trail.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture
def services(api: Api) -> Services:
    return api.services


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file for a test, and return its path."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def kept(tmp_path: Path, resolver_environment: dict[str, str]) -> Path:
    """The folder in which every resolver that is made afterwards keeps its erasure certificates."""
    directory = tmp_path / "certificates"
    directory.mkdir()
    resolver_environment["RESOLVER_CERTIFICATE_DIR"] = str(directory)
    return directory


@pytest.fixture
def make_eraser(resolver_environment: dict[str, str]) -> Iterator[Callable[..., Eraser]]:
    trails = []

    def make(**changes: str) -> Eraser:
        settings = load({**resolver_environment, **changes})
        stores = build_stores(settings)
        trails.append(build_trail(settings, stores))
        return build_eraser(settings, stores, trails[-1])

    yield make
    for trail in trails:
        trail.close()
