"""The metrics. No label holds a tenant, a person or a notification: each label has only a few values.

All metrics have labels, so that their series start with the first use: a series created at import would
belong to the process before the fork. `multiprocess` combines the processes' figures.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
REQUESTS = Histogram(
    "resolver_request_seconds",
    "Duration of requests, by outcome.",
    ("surface", "outcome"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
STORE = Histogram(
    "resolver_vault_seconds",
    "Duration of reads and writes of sealed records, by outcome.",
    ("operation", "outcome"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
VELT = Histogram(
    "resolver_velt_seconds",
    "Duration of calls to Velt, by outcome.",
    ("endpoint", "outcome"),
    buckets=(*_SECONDS, 5.0),
    registry=REGISTRY,
)
BREAKER = Gauge(
    "resolver_breaker_open",
    "Processes whose circuit breaker for a service is open.",
    ("service",),
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
AUDIT_FAILURES = Counter(
    "resolver_audit_failures",
    "Audit lines that could not be written (line: the request was refused), and checkpoints (anchor).",
    ("what",),
    registry=REGISTRY,
)
UNRECORDED = Counter(
    "resolver_audit_unrecorded",
    "Refused calls without a valid credential that the audit trail only counts, without a line each.",
    ("surface",),
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "resolver_unreadable",
    "Stored values that did not open: damaged, or sealed with a key that is missing here.",
    ("what",),
    registry=REGISTRY,
)
REPLIES_REFUSED = Counter(
    "resolver_replies_refused",
    "Replies refused because the memory for replies was full.",
    ("what",),
    registry=REGISTRY,
)
_ALL = (REQUESTS, STORE, VELT, BREAKER, AUDIT_FAILURES, UNRECORDED, UNREADABLE, REPLIES_REFUSED)


@cache
def series(meter: Histogram, *labels: str) -> Histogram:
    """Return the series with these labels. Cached: finding it costs more than counting."""
    return meter.labels(*labels)


def forget() -> None:
    """Clear everything this process has counted."""
    series.cache_clear()
    for meter in _ALL:
        meter.clear()


def begin() -> None:
    """Create series with zeros: a series that first appears with a failure shows no increase to an alert."""
    for what in ("line", "anchor"):
        AUDIT_FAILURES.labels(what)
    for surface in ("mirror", "callback", "token", "privacy"):
        UNRECORDED.labels(surface)
    for what in ("record", "command", "revocation"):
        UNREADABLE.labels(what)
    for what in ("small", "large"):
        REPLIES_REFUSED.labels(what)
    for service in ("velt", "redis", "permission_provider"):
        BREAKER.labels(service).set(0)
