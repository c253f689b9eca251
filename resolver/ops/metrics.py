"""What is counted and timed. No label holds a tenant, a person or a notification: each has a few values only.

Every figure of a process is a child of one of these; `sharing` says in whose company it is counted. All have
labels, and so begin with their first use: a figure that began at import would belong to the process before
the fork.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
REQUESTS = Histogram(
    "resolver_request_seconds",
    "Requests: how many, how they ended, how long they took.",
    ("surface", "outcome"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
VAULT = Histogram(
    "resolver_vault_seconds",
    "Reads and writes of sealed records: how many, how they ended, how long they took.",
    ("operation", "outcome"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
VELT = Histogram(
    "resolver_velt_seconds",
    "Calls to Velt: how many, how they ended, how long they took.",
    ("endpoint", "outcome"),
    buckets=(*_SECONDS, 5.0),
    registry=REGISTRY,
)
BREAKER = Gauge(
    "resolver_breaker_open",
    "Processes that hold back from calling a service because it was out of reach.",
    ("service",),
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
AUDIT_FAILURES = Counter(
    "resolver_audit_failures",
    "What couldn't be put on record (line: its request was refused), and anchors that couldn't be kept.",
    ("what",),
    registry=REGISTRY,
)
UNRECORDED = Counter(
    "resolver_audit_unrecorded",
    "Refusals without a valid credential that have no line in the audit trail: there, only their number is.",
    ("surface",),
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "resolver_unreadable",
    "What is stored and didn't open: damaged, or sealed with a key that isn't known here.",
    ("what",),
    registry=REGISTRY,
)
REPLIES_REFUSED = Counter(
    "resolver_replies_refused",
    "Replies that were refused because a process was reading or sending too many large ones.",
    ("what",),
    registry=REGISTRY,
)
_ALL = (REQUESTS, VAULT, VELT, BREAKER, AUDIT_FAILURES, UNRECORDED, UNREADABLE, REPLIES_REFUSED)


@cache
def series(meter: Histogram, *labels: str) -> Histogram:
    """The one with these labels; for what every request counts, finding it costs more than counting."""
    return meter.labels(*labels)


def forget() -> None:
    """All that was counted here so far."""
    series.cache_clear()
    for meter in _ALL:
        meter.clear()


def begin() -> None:
    """Zeros: what appears with its first failure only is no rise to whoever watches for one."""
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
