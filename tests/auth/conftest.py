"""An identity provider's key set behind https with an authority of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from resolver.auth.jwks import Jwks, Pace
from resolver.config import DIRECT
from tests.servers import KEYS, Authority, Service, authority, jwk, running

QUICK = Pace(refresh=60, retry=0.2, fetch=1, wait=0.5)


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def provider(certified: Authority) -> Iterator[Service]:
    """Publishes one key of each kind, under its algorithm's name."""
    published = {"keys": [jwk(key, kid) for kid, key in KEYS.items() if kid != "PS256"]}
    with running(Service(body=published), (certified.certificate, certified.key)) as service:
        yield service


@pytest.fixture
def key_set(provider: Service, certified: Authority) -> Iterator[Callable[..., Jwks]]:
    """A key set of that provider, at a pace that a test can wait for."""
    with ExitStack() as stack:

        def make(
            pace: Pace = QUICK,
            url: str = "",
            ca_file: str | None = None,
            clock: Callable[[], float] = time.monotonic,
        ) -> Jwks:
            authorities = str(certified.ca) if ca_file is None else ca_file
            made = Jwks(url or provider.url, authorities, DIRECT, pace, clock)
            stack.callback(made.close)
            return made

        yield make
