"""Who may come in. Each surface names one of these; a guard looks at headers only, so a refused call costs
no Redis round trip and no parsing. Failed credentials are counted by address, on every surface alike."""

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

Guard = Callable[[Services, Request], Reader | PrivacyOperator | None]
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip")
_API_KEY, _AUTH_TOKEN = "x-velt-api-key", "x-velt-auth-token"


def let_in(guard: Guard, services: Services, request: Request) -> Reader | PrivacyOperator | None:
    """The caller, if the guard knows them. TooManyCalls instead of the guard's refusal when credentials from
    this address failed too often; one that holds is served whatever the others did."""
    try:
        return guard(services, request)
    except (PermissionDenied, Unauthenticated):
        if services.failures is not None:
            services.failures.count(request.remote_addr or "")
        raise


def anyone(_services: Services, _request: Request) -> None:
    """Open on purpose: the load balancer has no credential."""


def this_machine(_services: Services, request: Request) -> None:
    """Somebody at this machine, who called it by such a name: with a name of their own that they made to lead
    here (DNS rebinding), another's page could read what is answered. What a proxy passes on comes from
    anybody, and whoever calls past a trusted one may say of themselves what they like."""
    if any(name in request.headers for name in _PASSED_ON):
        raise NotFound()
    if not _THIS_MACHINE.fullmatch(request.headers.get("host", "")) or not _is_loopback(request.remote_addr):
        raise NotFound()


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def backend(services: Services, request: Request) -> Backend:
    return services.callers.authenticate(request.headers.get(_API_KEY), request.headers.get(_AUTH_TOKEN))


def privacy(services: Services, request: Request) -> PrivacyOperator:
    """Whoever has one of the privacy tokens; without any set, the surface is closed."""
    if services.privacy_operators is None:
        raise NotFound()
    return services.privacy_operators.authenticate(_bearer(request.headers.get("authorization")))


def prometheus(services: Services, request: Request) -> None:
    """Whoever has the metrics token. Without one set, the surface is closed in production."""
    token = services.settings.metrics_token
    if token is None:
        if services.settings.mode == "production":
            raise NotFound()
        return
    presented = _bearer(request.headers.get("authorization"))
    if not token.matches(presented):
        raise PermissionDenied()


def reader(services: Services, request: Request) -> Reader | None:
    """An end user by token, or a trusted backend by the mirror's headers. Every failure is the same 401."""
    if request.method == "OPTIONS":
        return None  # a preflight carries no credential, and gets nothing but CORS headers
    try:
        # The first credential that is there decides; should it fail, no other is tried.
        if (authorization := request.headers.get("authorization")) is not None:
            return services.tokens.verify(_bearer(authorization))
        if _API_KEY in request.headers or _AUTH_TOKEN in request.headers:
            return backend(services, request)
        return services.tokens.verify(_cookie(services.settings, request))
    except (PermissionDenied, Unauthenticated):
        raise Unauthenticated() from None


def _bearer(authorization: str | None) -> str:
    scheme, _, presented = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise Unauthenticated()
    return presented.strip()


def _cookie(settings: Settings, request: Request) -> str:
    """Browsers send a cookie whichever page made them call, so that page must be one of ours. Two of one
    name, and somebody on a neighbouring domain may have planted one."""
    found = request.cookies.getlist(settings.token.cookie) if settings.token.cookie else []
    if len(found) != 1 or request.headers.get("origin") not in settings.cors_origins:
        raise Unauthenticated()
    return found[0]
