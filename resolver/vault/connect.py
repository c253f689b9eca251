"""One way to a Redis client, whatever stands behind the URL.

Every wait is bounded: redis-py's own defaults let one GET against a silent server take a minute. Nothing is
retried here, because a retried write may run twice; `store.py` repeats reads, which is safe.
"""

from __future__ import annotations

from redis import BlockingConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from resolver.errors import SettingsError
from resolver.secret import Secret

CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 0.5
_WAIT_FOR_CONNECTION_SECONDS = 0.2


def connect(url: Secret, connections: int) -> Redis:
    """A client on a bounded pool; nothing is sent yet. Build it after fork: sockets don't survive one."""
    try:
        pool = BlockingConnectionPool.from_url(
            url.reveal(),
            max_connections=connections,
            timeout=_WAIT_FOR_CONNECTION_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            legacy_responses=False,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return Redis(connection_pool=pool)
    except (ValueError, TypeError, RedisError):
        # The URL may hold a password: it is not repeated.
        raise SettingsError(["REDIS_URL: is not a usable Redis URL"]) from None
