"""Authenticate callers: one guard for each surface.

A guard reads only headers, so a refused call costs neither a Redis round trip nor parsing. Failed attempts
are counted by address, on every surface.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from werkzeug import Request

from resolver.auth.callers import Backend, PrivacyOperator
from resolver.config import Settings
from resolver.errors import NotFound, PermissionDenied, Unauthenticated
from resolver.notifications.read import Reader
from resolver.wiring import Services

SurfaceGuard = Callable[[Services, Request], Reader | PrivacyOperator | None]
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_API_KEY, _AUTH_TOKEN = "x-velt-api-key", "x-velt-auth-token"
_AUTHORIZATION, _HOST, _ORIGIN = "authorization", "host", "origin"


def authorize(guard: SurfaceGuard, services: Services, request: Request) -> Reader | PrivacyOperator | None:
    """Run a guard and return the caller. When credentials from this address failed too often, raise
    TooManyCalls instead of the guard's error; a valid credential is always accepted."""
    try:
        return guard(services, request)
    except (PermissionDenied, Unauthenticated):
        if services.failures is not None:
            services.failures.count(request.remote_addr or "")
        raise


def anyone(_services: Services, _request: Request) -> None:
    """Accept every caller: a load balancer has no credential."""


def this_machine(_services: Services, request: Request) -> None:
    """Accept only requests from this machine, under a local host name.

    With any other host name that resolves to this machine (DNS rebinding), a foreign web page could read the
    answers. Requests with a proxy's headers are refused: they may come from anywhere.
    """
    if any(name in request.headers for name in _PROXY_HEADERS):
        raise NotFound()
    if not _THIS_MACHINE.fullmatch(request.headers.get(_HOST, "")) or not _is_loopback(request.remote_addr):
        raise NotFound()


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def backend(services: Services, request: Request) -> Backend:
    return services.callers.authenticate(request.headers.get(_API_KEY), request.headers.get(_AUTH_TOKEN))


def privacy(services: Services, request: Request) -> PrivacyOperator:
    """Require one of the privacy tokens. If none is set, the surface is closed."""
    if services.privacy_operators is None:
        raise NotFound()
    return services.privacy_operators.authenticate(_bearer(request))


def prometheus(services: Services, request: Request) -> None:
    """Require the metrics token. If none is set, the surface is closed in production and open otherwise."""
    token = services.settings.metrics_token
    if token is None:
        if services.settings.mode == "production":
            raise NotFound()
        return
    if not token.matches(_bearer(request)):
        raise PermissionDenied()


def reader(services: Services, request: Request) -> Reader | None:
    """Accept an end user by token, or a backend by the Velt-compatible API's headers. Every failure is the
    same 401."""
    if request.method == "OPTIONS":
        return None  # a preflight has no credential, and its reply only CORS headers
    try:
        # The first credential present decides. If it fails, the others are not tried.
        if _AUTHORIZATION in request.headers:
            return services.tokens.verify(_bearer(request))
        if _API_KEY in request.headers or _AUTH_TOKEN in request.headers:
            return backend(services, request)
        return services.tokens.verify(_cookie(services.settings, request))
    except (PermissionDenied, Unauthenticated):
        raise Unauthenticated() from None


def _bearer(request: Request) -> str:
    scheme, _, presented = request.headers.get(_AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise Unauthenticated()
    return presented.strip()


def _cookie(settings: Settings, request: Request) -> str:
    """Return the token from its cookie. Browsers send cookies with calls from any page, so the origin must be
    allowed. Two cookies of the same name are refused: a neighbouring domain may have set one."""
    found = request.cookies.getlist(settings.token.cookie) if settings.token.cookie else []
    if len(found) != 1 or request.headers.get(_ORIGIN) not in settings.cors_origins:
        raise Unauthenticated()
    return found[0]
