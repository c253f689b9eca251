"""The metrics endpoint: figures of all processes, and figures read from Redis.

No label holds a tenant, a user or a notification.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from resolver import __version__
from resolver.api.endpoint import Route
from resolver.api.reply import Reply
from resolver.api.request import Call
from resolver.errors import ErasuresNotReplayed, OutdatedSchema, StoreUnavailable, Unavailable, WrongDatabase
from resolver.ops import multiprocess
from resolver.wiring import Services

PATH = "/metrics"
_REDIS_STATES = (
    "ok",
    *(kind.state for kind in (StoreUnavailable, WrongDatabase, OutdatedSchema, ErasuresNotReplayed)),
)


class Shared(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from multiprocess.collected().collect()


class Settings(Collector):
    """Figures about this process's settings."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("resolver_build", "What is running.", {"version": __version__})
        keys = GaugeMetricFamily(
            "resolver_master_key", "Master keys in use, by id; the first seals.", labels=("key", "use")
        )
        for number, key in enumerate(self._services.settings.master_keys):
            keys.add_metric((key, "opens" if number else "seals"), 1)
        yield keys


class InRedis(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        state = self._services.store.state()
        states = GaugeMetricFamily(
            "resolver_redis_state",
            "1 for the current state: ok, down, foreign (other keys), outdated (another schema), "
            "restored (erasures must be replayed).",
            labels=("state",),
        )
        for known in _REDIS_STATES:
            states.add_metric((known,), int(known == state))
        yield states
        if state == "ok":
            try:
                figures = [*self._outbox(), *self._erasures()]
            except Unavailable:
                return
            yield from figures

    def _outbox(self) -> Iterator[Metric]:
        depth, worked = self._services.outbox.depth(), self._services.outbox.has_live_worker()
        yield GaugeMetricFamily(
            "resolver_outbox_waiting", "Notifications with commands for Velt.", depth.waiting
        )
        yield GaugeMetricFamily("resolver_outbox_due", "Of these, those that could be sent now.", depth.due)
        yield GaugeMetricFamily(
            "resolver_outbox_oldest_due_seconds",
            "Seconds since the oldest of these became due.",
            depth.oldest_ms / 1000,
        )
        yield GaugeMetricFamily("resolver_outbox_dead", "Dead letters.", depth.dead)
        yield GaugeMetricFamily("resolver_worker_alive", "1 while a worker sends heartbeats.", int(worked))

    def _erasures(self) -> Iterator[Metric]:
        under_way, oldest = self._services.erasures.pending()
        yield GaugeMetricFamily("resolver_erasures_under_way", "Open erasures.", under_way)
        yield GaugeMetricFamily(
            "resolver_erasures_oldest_seconds", "Age of the oldest open erasure in seconds.", oldest
        )


def routes(services: Services) -> Iterator[Route]:
    registry = CollectorRegistry()
    for collector in (Shared(), Settings(services), InRedis(services)):
        registry.register(collector)

    def scrape(_call: Call[None]) -> Reply:
        return Reply(generate_latest(registry), headers=(("Content-Type", CONTENT_TYPE_LATEST),))

    yield Route("GET", PATH, "scrape", scrape)
