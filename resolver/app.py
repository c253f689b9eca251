"""The Flask application: a table of surfaces, each with its guard and the shape of its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from flask import Blueprint, Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from resolver import logs
from resolver.audit.attempt import Attempt
from resolver.audit.event import Actor
from resolver.metrics import meters, sharing
from resolver.services import Services, build
from resolver.settings import Settings, load
from resolver.web import callback, demo, docs, errors, guards, metrics, mirror, ops, privacy, reply, token
from resolver.web import request as current
from resolver.web.body import LARGEST_BODY
from resolver.web.cors import Cors
from resolver.web.errors import Shape, callback_shape, velt_shape
from resolver.web.short_way import ShortWay


@dataclass(frozen=True, slots=True)
class Surface:
    name: str
    blueprint: Callable[[Services], Blueprint]
    guard: guards.Guard
    audited: bool = False
    always: bool = False
    """Served whatever RESOLVER_SURFACES says."""
    development: bool = False
    """Served in development whatever RESOLVER_SURFACES says, and never in production."""

    def is_served(self, settings: Settings) -> bool:
        if self.development:
            return settings.mode == "development"
        return self.always or self.name in settings.surfaces


SURFACES = (
    Surface("mirror", mirror.blueprint, guards.backend, audited=True),
    Surface("callback", callback.blueprint, guards.reader, audited=True),
    Surface("token", token.blueprint, guards.backend, audited=True),
    Surface("privacy", privacy.blueprint, guards.privacy, audited=True),
    Surface("metrics", metrics.blueprint, guards.prometheus),
    Surface("docs", docs.blueprint, guards.anyone),
    Surface("demo", demo.blueprint, guards.this_machine, development=True),
    Surface("ops", ops.blueprint, guards.anyone, always=True),
)

_log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None, services: Services | None = None) -> Flask:
    settings = settings or load()
    logs.configure(settings.log_level, settings.log_format)
    sharing.join()
    services = services or build(settings)
    app = Flask("resolver", static_folder=None)
    # One byte more than is accepted: a body without a length is cut off here, and must not pass for whole.
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY + 1
    app.extensions["resolver"] = services
    # A redirect would be a reply without shape; every path here is exact.
    app.url_map.merge_slashes = False
    app.before_request(partial(current.begin, settings.deadline_ms / 1000))
    app.teardown_request(lambda _error: current.end())
    cors = Cors(settings.cors_origins, bool(settings.token.cookie))
    app.after_request(partial(_finish, cors))
    errors.register(app, shape_of)
    for surface in SURFACES:
        if surface.is_served(settings):
            app.register_blueprint(_guarded(surface, services))
            for outcome in ("unavailable", "failed"):
                meters.REQUESTS.labels(surface.name, outcome)
    app.wsgi_app = ShortWay(app.wsgi_app, services, cors)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    for warning in settings.warnings:
        _log.warning("settings", warning=warning)
    return app


def shape_of(path: str) -> Shape:
    """The callbacks' paths speak the SDK's shape even where nothing is served; all else speaks Velt's."""
    return callback_shape if path.startswith(callback.PREFIX) else velt_shape


def _guarded(surface: Surface, services: Services) -> Blueprint:
    blueprint = surface.blueprint(services)

    def admit() -> None:
        if failed := request.environ.get(current.FAILED):
            current.attempts(failed.attempt)
            raise failed.error
        is_audited = surface.audited and request.method in ("POST", "GET", "HEAD")
        if is_audited:
            unknown = Actor("unknown", request.remote_addr or "")
            action = (request.endpoint or "").partition(".")[2]
            current.attempts(Attempt(services.trail, surface.name, action, current.request_id(), unknown))
        current.admit(guards.let_in(surface.guard, services, request))
        if is_audited:
            services.vault.guard.require_replayed()

    blueprint.before_request(admit)
    return blueprint


def _finish(cors: Cors, response: Response) -> Response:
    called_by_pages = cors if request.path.startswith(callback.PREFIX) else None
    for name, value in reply.headers(current.request_id(), called_by_pages, request.headers.get("origin")):
        if name != reply.POLICY or name not in response.headers:
            response.headers.add(name, value)
    rule = request.url_rule.rule if request.url_rule else None
    surface = request.blueprint or "none"
    reply.tell(surface, request.method, rule, response.status_code, current.seconds_so_far())
    return response
