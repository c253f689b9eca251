"""The keys that an identity provider publishes (JWKS), refreshed in the background.

A thread fetches the set once a minute, so a withdrawn key is accepted for about a minute more. A token with a
known key never waits. An unknown key causes another fetch, at most twice a minute, and its request waits for
that up to 0.8 s. When the provider is unreachable, the last keys are used for `Pace.hard_age`; after that, no
token is accepted until it is reachable.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import structlog

from resolver.auth.verification_keys import TokenKey, from_jwk
from resolver.config import OutboundSettings
from resolver.config.pem import PublicKey
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable, Unavailable
from resolver.outbound.http_client import HttpClient

MAX_SET_BYTES = 256 * 1024
_MAX_KEYS = 100
_MAX_WAITING = 4
"""Requests that may wait for a fetch at once; the other threads go on serving known keys."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between fetches, and time limits in seconds."""

    refresh: float = 60
    retry: float = 10
    """While there are no keys."""
    per: float = 60
    """At most two fetches within this time."""
    fetch: float = 3
    wait: float = 0.8
    hard_age: float = 6 * 3600


_Keys = Mapping[str | None, tuple[TokenKey, ...]]
"""By `kid`; None for keys without one."""


class _Known(NamedTuple):
    keys: _Keys
    fetched: float

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the only key that fits; None when several do, since they are not tried one by one."""
        named = self.keys.get(kid, ()) if kid is not None else sum(self.keys.values(), ())
        fitting = [key for key in named if algorithm in key.algorithms]
        return fitting[0].key if len(fitting) == 1 else None


class Jwks:
    def __init__(
        self,
        url: str,
        ca_file: str,
        outbound: OutboundSettings,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = _client(url, ca_file, outbound)
        self._pace = pace or Pace()
        self._clock = clock
        self._known: _Known | None = None
        self._changes = 0
        self._starts: deque[float] = deque(maxlen=2)
        self._finished = 0
        self._is_fetching = False
        self._state = threading.Condition()
        self._waiting = threading.BoundedSemaphore(_MAX_WAITING)
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once. Call it in the serving process: threads don't survive a fork."""
        with self._state:
            if self._thread is None:
                self._is_fetching = True
                self._thread = threading.Thread(target=self._keep_fresh, name="jwks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread:
            self._thread.join(self._pace.fetch + 1)

    @property
    def version(self) -> int:
        return self._changes if self._usable() else -1

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return a key; None when none such is published. Raises Unavailable without a usable key set."""
        known = self._usable()
        found = known.find(kid, algorithm) if known else None
        if found:
            return found
        self._refetch()
        known = self._usable()
        if known is None:
            raise Unavailable()
        return known.find(kid, algorithm)

    def _usable(self) -> _Known | None:
        known = self._known
        if known is None or self._clock() - known.fetched > self._pace.hard_age:
            return None
        return known

    def _refetch(self) -> None:
        """Wait for a fetch in progress or a new one; return at once when none is permitted now."""
        self.start()
        if not self._waiting.acquire(blocking=False):
            return
        try:
            with self._state:
                if not self._is_fetching and not self._request_fetch():
                    return
                seen = self._finished
                self._state.wait_for(lambda: self._finished != seen, self._pace.wait)
        finally:
            self._waiting.release()

    def _request_fetch(self) -> bool:
        """Have the thread fetch now; False when there were too many fetches. Call it with the lock held."""
        allowed = len(self._starts) < 2 or self._clock() - self._starts[0] >= self._pace.per
        if allowed:
            self._is_fetching = True
            self._wake.set()
        return allowed

    def _keep_fresh(self) -> None:
        while not self._closed:
            self._refresh()
            self._wake.wait(self._pace.refresh if self._usable() else self._pace.retry)
            self._wake.clear()

    def _refresh(self) -> None:
        with self._state:
            self._is_fetching = True
            self._starts.append(self._clock())
        try:
            self._store(_fetched(self._http, self._pace.fetch))
        except Exception as error:  # noqa: BLE001 - no answer may end the thread
            reason = error.reason if isinstance(error, ServiceUnreachable) else type(error).__name__
            _log.warning("jwks_unavailable", reason=reason, usable=bool(self._usable()))
        finally:
            with self._state:
                self._is_fetching = False
                self._finished += 1
                self._state.notify_all()

    def _store(self, keys: _Keys) -> None:
        changed = self._known is None or keys != self._known.keys
        self._known = _Known(keys, self._clock())
        if changed:
            self._changes += 1
            _log.info("jwks_changed", keys=sum(map(len, keys.values())))


def fetch(url: str, ca_file: str, outbound: OutboundSettings, seconds: float) -> int:
    """Fetch once and count the usable keys. Raises ServiceUnreachable."""
    return sum(map(len, _fetched(_client(url, ca_file, outbound), seconds).values()))


def _client(url: str, ca_file: str, outbound: OutboundSettings) -> HttpClient:
    return HttpClient(
        url,
        {"accept": "application/json"},
        connections=1,
        largest_answer=MAX_SET_BYTES,
        outbound=outbound,
        ca_file=ca_file,
    )


def _fetched(client: HttpClient, seconds: float) -> _Keys:
    """Fetch the key set. It may be empty: the provider has withdrawn all keys. Raises ServiceUnreachable."""
    answer = client.call("GET", Deadline.after(seconds))
    try:
        parsed: Any = orjson.loads(answer.body) if answer.status == 200 else None
    except orjson.JSONDecodeError:
        raise ServiceUnreachable("not JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ServiceUnreachable(f"no key set (HTTP {answer.status})")
    keys: dict[str | None, tuple[TokenKey, ...]] = {}
    for jwk in parsed["keys"][:_MAX_KEYS]:
        if isinstance(jwk, dict) and (key := from_jwk(jwk)):
            kid = jwk.get("kid") if isinstance(jwk.get("kid"), str) else None
            keys[kid] = (*keys.get(kid, ()), key)
    return keys
