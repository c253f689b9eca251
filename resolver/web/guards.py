"""Who may come in. Each surface names one of these; a guard looks at headers only, so a refused call costs
no Redis round trip and no parsing."""

from __future__ import annotations

from collections.abc import Callable

from flask import Request

from resolver.access.callers import Backend
from resolver.errors import NotFound, PermissionDenied, Unauthenticated
from resolver.notifications.delivery import Reader
from resolver.services import Services

Guard = Callable[[Services, Request], Reader | None]


def anyone(_services: Services, _request: Request) -> None:
    """Open on purpose: the load balancer has no credential."""


def backend(services: Services, request: Request) -> Backend:
    return services.callers.authenticate(
        request.headers.get("x-velt-api-key"), request.headers.get("x-velt-auth-token")
    )


def prometheus(services: Services, request: Request) -> None:
    """Whoever has the metrics token. Without one set, the surface is closed in production."""
    token = services.settings.metrics_token
    if token is None:
        if services.settings.mode == "production":
            raise NotFound()
        return
    scheme, _, presented = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not presented:
        raise Unauthenticated()
    if not token.matches(presented.strip()):
        raise PermissionDenied()


def reader(services: Services, request: Request) -> Reader | None:
    """An end user by token, or a trusted backend by the mirror's headers. Every failure is the same 401."""
    if request.method == "OPTIONS":
        return None  # a preflight carries no credential, and gets nothing but CORS headers
    authorization = request.headers.get("authorization")
    if authorization is None:
        try:
            return backend(services, request)
        except (PermissionDenied, Unauthenticated):
            raise Unauthenticated() from None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated()
    return services.tokens.verify(token.strip())
