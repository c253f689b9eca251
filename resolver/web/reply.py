"""What is on every reply, and what is said of it afterwards."""

from __future__ import annotations

from resolver import logs
from resolver.metrics import meters
from resolver.web.cors import Cors, Header

POLICY = "Content-Security-Policy"
SECURITY: tuple[Header, ...] = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    # But for `pages` nothing here is a page: whoever opens a reply as one finds no script or referrer in it.
    (POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def headers(request_id: str, cors: Cors | None, origin: str | None) -> list[Header]:
    """`cors`: of the callbacks, which pages of other origins call."""
    own = [("X-Request-Id", request_id), *SECURITY]
    return own + cors.headers(origin) if cors else own


def tell(surface: str, method: str, route: str | None, status: int, seconds: float) -> None:
    """Counted, and one line in the log; who and what it was about is in the audit trail alone."""
    outcome = _outcome(status)
    meters.series(meters.REQUESTS, surface, outcome).observe(seconds)
    logs.bound.info(
        logs.REQUEST_LINE,
        surface=surface,
        method=method,
        route=route,
        status=status,
        outcome=outcome,
        ms=round(seconds * 1000, 2),
    )


def _outcome(status: int) -> str:
    match status:
        case 401 | 403:
            return "denied"
        case 429:
            return "limited"
        case 503:
            return "unavailable"
        case _:
            return "ok" if status < 400 else "invalid" if status < 500 else "failed"
