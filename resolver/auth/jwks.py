"""The keys that an identity provider publishes, kept fresh in the background.

A thread fetches the set once a minute, so a withdrawn key is believed for about a minute more. A request
signed with a known key never waits for it. A key that isn't known yet has the set fetched once more, at most
twice a minute whatever anybody sends, and waits a moment for that. When the provider can't be reached, the
keys of the last good answer go on for `Pace.hard_age`, and then nobody is believed until it is back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
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

LARGEST_SET = 256 * 1024
_MOST_KEYS = 100
_MOST_WAITING = 4
"""Of a process's threads: the rest go on serving those whose keys are known."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """All in seconds."""

    refresh: float = 60
    retry: float = 10
    """While there are no keys at all."""
    per: float = 60
    """Two fetches within so long, no more, while there are keys."""
    fetch: float = 3
    wait: float = 0.8
    hard_age: float = 6 * 3600


_Keys = Mapping[str | None, tuple[TokenKey, ...]]
"""By `kid`; those without one under None."""


class _Known(NamedTuple):
    keys: _Keys
    fetched: float

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Exactly one must fit: which of several a signature was made with is not tried out."""
        named = self.keys.get(kid, ()) if kid is not None else sum(self.keys.values(), ())
        fitting = [key for key in named if algorithm in key.algorithms]
        return fitting[0].key if len(fitting) == 1 else None


class Jwks:
    def __init__(self, url: str, ca_file: str, outbound: OutboundSettings, pace: Pace | None = None) -> None:
        self._http = _client(url, ca_file, outbound)
        self._pace = pace or Pace()
        self._known: _Known | None = None
        self._changes = 0
        self._starts: deque[float] = deque(maxlen=2)
        self._finished = 0
        self._under_way = False
        self._state = threading.Condition()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._asked = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Idempotent. Of the process that serves: a thread doesn't live through a fork."""
        with self._state:
            if self._thread is None:
                self._under_way = True
                self._thread = threading.Thread(target=self._keep_fresh, name="jwks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._asked.set()
        if self._thread:
            self._thread.join(self._pace.fetch + 1)

    @property
    def version(self) -> int:
        return self._changes if self._usable() else -1

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """None when nobody published such a key; Unavailable when nobody can tell."""
        known = self._usable()
        found = known.find(kid, algorithm) if known else None
        if found:
            return found
        self._look_again()
        known = self._usable()
        if known is None:
            raise Unavailable()
        return known.find(kid, algorithm)

    def _usable(self) -> _Known | None:
        known = self._known
        if known is None or time.monotonic() - known.fetched > self._pace.hard_age:
            return None
        return known

    def _look_again(self) -> None:
        """Waits for a fetch, when one is under way or may be made; at once otherwise."""
        self.start()
        if not self._waiting.acquire(blocking=False):
            return
        try:
            with self._state:
                if not self._under_way and not self._ask():
                    return
                seen = self._finished
                self._state.wait_for(lambda: self._finished != seen, self._pace.wait)
        finally:
            self._waiting.release()

    def _ask(self) -> bool:
        """Whether a fetch begins for this; with the state held."""
        allowed = len(self._starts) < 2 or time.monotonic() - self._starts[0] >= self._pace.per
        if allowed:
            self._under_way = True
            self._asked.set()
        return allowed

    def _keep_fresh(self) -> None:
        while not self._closed:
            self._refresh()
            self._asked.wait(self._pace.refresh if self._usable() else self._pace.retry)
            self._asked.clear()

    def _refresh(self) -> None:
        with self._state:
            self._under_way = True
            self._starts.append(time.monotonic())
        try:
            self._take(_fetched(self._http, self._pace.fetch))
        except Exception as error:  # noqa: BLE001 - whatever an answer does to us, the thread must live on
            reason = error.reason if isinstance(error, ServiceUnreachable) else type(error).__name__
            _log.warning("jwks_unavailable", reason=reason, usable=bool(self._usable()))
        finally:
            with self._state:
                self._under_way = False
                self._finished += 1
                self._state.notify_all()

    def _take(self, keys: _Keys) -> None:
        changed = self._known is None or keys != self._known.keys
        self._known = _Known(keys, time.monotonic())
        if changed:
            self._changes += 1
            _log.info("jwks_changed", keys=sum(map(len, keys.values())))


def fetch(url: str, ca_file: str, outbound: OutboundSettings, seconds: float) -> int:
    """How many usable keys there are, asked once; Unanswered when the set can't be had."""
    return sum(map(len, _fetched(_client(url, ca_file, outbound), seconds).values()))


def _client(url: str, ca_file: str, outbound: OutboundSettings) -> HttpClient:
    return HttpClient(
        url,
        {"accept": "application/json"},
        connections=1,
        largest_answer=LARGEST_SET,
        outbound=outbound,
        ca_file=ca_file,
    )


def _fetched(client: HttpClient, seconds: float) -> _Keys:
    """A set without usable keys is an answer too: the provider withdrew them all."""
    answer = client.call("GET", Deadline.after(seconds))
    try:
        parsed: Any = orjson.loads(answer.body) if answer.status == 200 else None
    except orjson.JSONDecodeError:
        raise ServiceUnreachable("not JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ServiceUnreachable(f"no key set (HTTP {answer.status})")
    keys: dict[str | None, tuple[TokenKey, ...]] = {}
    for jwk in parsed["keys"][:_MOST_KEYS]:
        if isinstance(jwk, dict) and (key := from_jwk(jwk)):
            kid = jwk.get("kid") if isinstance(jwk.get("kid"), str) else None
            keys[kid] = (*keys.get(kid, ()), key)
    return keys
