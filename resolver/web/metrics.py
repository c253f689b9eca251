"""What Prometheus asks: how much waits for Velt, and is anybody at it. Read from Redis at each scrape, so it
is the same whichever process answers. No tenant, user or notification is named in any label."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from resolver.errors import Unavailable
from resolver.outbox.queue import Outbox
from resolver.services import Services

PATH = "/metrics"


class OutboxCollector:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def collect(self) -> Iterator[Metric]:
        try:
            depth, worked = self._outbox.depth(), self._outbox.is_worked()
        except Unavailable:
            yield GaugeMetricFamily("resolver_redis_up", "1 while Redis answers.", 0)
            return
        yield GaugeMetricFamily("resolver_redis_up", "1 while Redis answers.", 1)
        yield GaugeMetricFamily(
            "resolver_outbox_waiting", "Notifications with commands for Velt.", depth.waiting
        )
        yield GaugeMetricFamily("resolver_outbox_due", "Of these, how many could be told now.", depth.due)
        yield GaugeMetricFamily(
            "resolver_outbox_oldest_due_seconds", "How long the longest has been due.", depth.oldest_ms / 1000
        )
        yield GaugeMetricFamily("resolver_outbox_dead", "Commands given up.", depth.dead)
        yield GaugeMetricFamily("resolver_worker_alive", "1 while a worker gives signs of life.", int(worked))


def blueprint(services: Services) -> Blueprint:
    metrics = Blueprint("metrics", __name__)
    registry = CollectorRegistry()
    registry.register(OutboxCollector(services.outbox))

    @metrics.get(PATH, provide_automatic_options=False)
    def scrape() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return metrics
