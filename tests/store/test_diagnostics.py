from __future__ import annotations

import pytest
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from resolver.config.secret import Secret
from resolver.errors import StoreUnavailable
from resolver.store.diagnostics import examine


@pytest.mark.single_server
def test_diagnostics_report_facts_of_the_server(redis_server: LocalRedis, redis: Redis) -> None:
    facts = examine(Secret.of(redis_server.url))
    assert (facts.eviction, facts.append_only, facts.encrypted, facts.user) == (
        "noeviction",
        False,
        True,
        "default",
    )


def test_diagnostics_raise_store_unavailable_when_there_is_no_server() -> None:
    with pytest.raises(StoreUnavailable):
        examine(Secret.of("redis://127.0.0.1:1/0"))
