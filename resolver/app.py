"""The Flask application: the table of surfaces, each with its guard and error shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, NoReturn

import structlog
from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from resolver.api import callback, docs, guards, health, mirror, privacy, prometheus, token
from resolver.api.endpoint import Endpoint, Responder, Route, Surface
from resolver.api.errors import Shape, callback_shape, velt_shape
from resolver.api.hot_path import HotPathRouter
from resolver.api.reply import Cors
from resolver.config import Settings, load
from resolver.ops import logs, metrics, multiprocess
from resolver.wiring import Services, build


class Served(NamedTuple):
    name: str
    routes: Callable[[Services], Iterable[Route]]
    guard: guards.SurfaceGuard
    is_audited: bool = False
    always: bool = False
    """Served regardless of RESOLVER_SURFACES."""
    development: bool = False
    """Served in development regardless of RESOLVER_SURFACES, and never in production."""

    def is_served(self, settings: Settings) -> bool:
        if self.development:
            return settings.mode == "development"
        return self.always or self.name in settings.surfaces


def _demo_routes(services: Services) -> Iterable[Route]:
    # Imported here, so that a production process doesn't load it.
    from resolver.demo import endpoints  # noqa: PLC0415

    return endpoints.routes(services)


SURFACES = (
    Served("mirror", mirror.routes, guards.backend, is_audited=True),
    Served("callback", callback.routes, guards.reader, is_audited=True),
    Served("token", token.routes, guards.backend, is_audited=True),
    Served("privacy", privacy.routes, guards.privacy, is_audited=True),
    Served("metrics", prometheus.routes, guards.prometheus),
    Served("docs", docs.routes, guards.anyone),
    Served("demo", _demo_routes, guards.this_machine, development=True),
    Served("ops", health.routes, guards.anyone, always=True),
)

_log = structlog.get_logger(__name__)


def create_app(
    settings: Settings | None = None, services: Services | None = None, *, hot_path: bool = True
) -> Flask:
    """Build the application. `hot_path`: put the hot-path router before Flask; only tests turn it off."""
    settings = settings or load()
    logs.configure(settings.log_level, settings.log_format)
    multiprocess.join()
    services = services or build(settings)
    responder, cors = Responder(services), callback.cors_of(settings)
    endpoints = list(_endpoints(settings, services, cors))
    app = Flask("resolver", static_folder=None)
    app.extensions["resolver"] = services
    # Merging slashes would answer with a redirect, which lacks the error shape.
    app.url_map.merge_slashes = False
    for endpoint in endpoints:
        _register(app, responder, endpoint)
    app.register_error_handler(Exception, partial(_unrouted, responder, cors))
    if hot_path:
        app.wsgi_app = HotPathRouter(app.wsgi_app, responder, endpoints)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    for warning in settings.warnings:
        _log.warning("settings", warning=warning)
    return app


def shape_of(path: str) -> Shape:
    """Return the error shape: the SDK's for data provider paths, served or not; Velt's for all others."""
    return callback_shape if path.startswith(callback.PREFIX) else velt_shape


def _endpoints(settings: Settings, services: Services, cors: Cors) -> Iterable[Endpoint]:
    for served in SURFACES:
        if not served.is_served(settings):
            continue
        for outcome in ("unavailable", "failed"):
            metrics.REQUESTS.labels(served.name, outcome)
        for route in served.routes(services):
            own = cors if route.path.startswith(callback.PREFIX) else None
            surface = Surface(served.name, served.guard, served.is_audited, shape_of(route.path), own)
            yield Endpoint(surface, route)


def _register(app: Flask, responder: Responder, endpoint: Endpoint) -> None:
    surface, route = endpoint

    def view(**arguments: str) -> Response:
        return _flask_response(responder, endpoint, arguments)

    name = f"{surface.name}.{route.action}"
    app.add_url_rule(route.path, name, view, methods=[route.method], provide_automatic_options=False)


def _unrouted(responder: Responder, cors: Cors, error: Exception) -> Response:
    """Reply to a request without endpoint, or to an error inside Flask."""

    def refuse(_call: object) -> NoReturn:
        raise error

    own = cors if request.path.startswith(callback.PREFIX) else None
    surface = Surface("none", guards.anyone, shape=shape_of(request.path), cors=own)
    return _flask_response(responder, Endpoint(surface, Route(request.method, "", "", refuse)), {})


def _flask_response(responder: Responder, endpoint: Endpoint, arguments: dict[str, str]) -> Response:
    return Response(*responder.respond(endpoint, request.environ, arguments))
