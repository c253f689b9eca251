"""The one way in: every endpoint is answered by `respond`, whatever routed the request to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from resolver.api import errors, guards, reply
from resolver.api.cors import Cors, Header
from resolver.api.errors import Shape, velt_shape
from resolver.api.reply import Reply
from resolver.api.request import Call, Incoming
from resolver.audit.context import Attempt
from resolver.audit.event import Actor
from resolver.auth.callers import Officer
from resolver.auth.claims import EndUser
from resolver.deadline import CURRENT, Deadline
from resolver.notifications.read import Reader
from resolver.ops import logs
from resolver.ops.reply_budget import SMALL_REPLY, Reservation
from resolver.wiring import Services

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

RENDERING_SECONDS = 0.05
_NO_ARGUMENTS: Mapping[str, str] = MappingProxyType({})


class Route(NamedTuple):
    """What a surface says of one of its endpoints."""

    method: str
    path: str
    action: str
    """Its name in the audit trail."""
    handle: Callable[[Call[Any]], Reply]


class Surface(NamedTuple):
    """What the endpoints for one kind of caller have in common."""

    name: str
    guard: guards.Guard
    is_audited: bool = False
    shape: Shape = velt_shape
    cors: Cors | None = None


class Endpoint(NamedTuple):
    surface: Surface
    route: Route


class Response(NamedTuple):
    """A reply as it goes out."""

    body: bytes | Iterable[bytes]
    status: int
    headers: list[Header]
    reservation: Reservation
    """To be released when the reply was sent, or its connection has ended."""


class Responder:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._seconds = services.settings.deadline_ms / 1000 - RENDERING_SECONDS

    def respond(
        self,
        endpoint: Endpoint,
        environ: WSGIEnvironment,
        arguments: Mapping[str, str] = _NO_ARGUMENTS,
    ) -> Response:
        """Answer a request: guard, use case, errors, audit, metrics, log."""
        started = time.monotonic()
        (surface, route), request = endpoint, Incoming(environ)
        id_, deadline = request.request_id(), Deadline(started + self._seconds)
        unknown = Actor("unknown", request.remote_addr or "")
        attempt = Attempt(self._services.trail, surface.name, route.action, id_, unknown)
        is_audited = surface.is_audited and route.method != "OPTIONS"
        reservation = self._services.replies.reserve()
        logs.REQUEST.set(id_)
        CURRENT.set(deadline)
        try:
            try:
                caller = guards.let_in(surface.guard, self._services, request)
                if caller is not None:
                    attempt.actor = _actor_of(caller)
                if is_audited:
                    self._services.vault.guard.require_replayed()
                made = route.handle(Call(request, id_, deadline, attempt, caller, arguments, reservation))
            except Exception as error:  # noqa: BLE001 - this is the edge: whatever failed is answered
                reservation.release()
                made = errors.reply_to(error, request.path, surface.shape, attempt if is_audited else None)
            elapsed = time.monotonic() - started
            reply.tell(surface.name, request.method, route.path or None, made.status, elapsed)
            headers = reply.headers_of(made, id_, surface.cors, request.headers.get("origin"))
            if reservation.size > SMALL_REPLY:
                reservation.shrink(reply.size_of(made))
            return Response(made.body, made.status, headers, reservation)
        except BaseException:
            reservation.release()
            raise
        finally:
            # This thread serves others afterwards, and what it does in between has no deadline.
            CURRENT.set(None)
            logs.REQUEST.set("")


def _actor_of(caller: Reader | Officer) -> Actor:
    if isinstance(caller, EndUser):
        return Actor("user", caller.user)
    return Actor("ops" if isinstance(caller, Officer) else "backend", caller.name)
