"""Endpoints and `Responder.respond`, which answers every request, whichever router it came through."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from resolver.api import errors, guards, reply
from resolver.api.errors import Shape, velt_shape
from resolver.api.reply import Cors, Header, Reply
from resolver.api.request import Call, Incoming
from resolver.audit.event import Actor
from resolver.audit.trail import AuditContext
from resolver.auth.callers import PrivacyOperator
from resolver.auth.claims import EndUser
from resolver.deadline import CURRENT, Deadline
from resolver.notifications.read import Reader
from resolver.ops import logs
from resolver.ops.reply_budget import SMALL_REPLY, Reservation
from resolver.wiring import Services

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

RENDERING_SECONDS = 0.05
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")
_NO_ARGUMENTS: Mapping[str, str] = MappingProxyType({})


class Route(NamedTuple):
    """One endpoint of a surface."""

    method: str
    path: str
    action: str
    """The endpoint's name in the audit trail."""
    handle: Callable[[Call[Any]], Reply]


class Surface(NamedTuple):
    """Guard, error shape and headers that the endpoints for one kind of caller share."""

    name: str
    guard: guards.SurfaceGuard
    is_audited: bool = False
    shape: Shape = velt_shape
    cors: Cors | None = None


class Endpoint(NamedTuple):
    surface: Surface
    route: Route


class Response(NamedTuple):
    """A reply with its final headers."""

    body: bytes | Iterable[bytes]
    """An iterable must be closed after it was sent, or when the connection ends."""
    status: int
    headers: list[Header]


class ReservedBody:
    """A body that shrinks its memory reservation as it is sent, since a slow client may take long."""

    def __init__(self, body: bytes | Iterable[bytes], reservation: Reservation) -> None:
        self._body = (body,) if isinstance(body, bytes) else body
        self._reservation = reservation

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            yield piece
            self._reservation.shrink(max(0, self._reservation.size - len(piece)))

    def close(self) -> None:
        self._body = ()
        self._reservation.release()


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
        """Answer a request: guard, use case, errors, audit, metrics, log. Never raises for a failed
        request."""
        started = time.monotonic()
        (surface, route), request = endpoint, Incoming(environ, populate_request=False)
        id_, deadline = _request_id(request), Deadline(started + self._seconds)
        unknown = Actor("unknown", request.remote_addr or "")
        audit = AuditContext(self._services.trail, surface.name, route.action, id_, unknown)
        is_audited = surface.is_audited and route.method != "OPTIONS"
        reservation = Reservation(self._services.replies)
        logs.REQUEST.set(id_)
        CURRENT.set(deadline)
        try:
            try:
                caller = guards.authorize(surface.guard, self._services, request)
                if caller is not None:
                    audit.actor = _actor_of(caller)
                if is_audited:
                    self._services.store.guard.require_replayed()
                made = route.handle(Call(request, id_, deadline, audit, caller, arguments, reservation))
            except Exception as error:  # noqa: BLE001 - the outermost handler: every failure gets a reply
                reservation.release()
                made = errors.reply_to(error, request.path, surface.shape, audit if is_audited else None)
            elapsed = time.monotonic() - started
            reply.log_and_count(surface.name, request.method, route.path or None, made.status, elapsed)
            headers = reply.headers_of(made, id_, surface.cors, request.headers.get("origin"))
            if reservation.size > SMALL_REPLY:
                reservation.shrink(reply.size_of(made))
            body = ReservedBody(made.body, reservation) if reservation.size else made.body
            return Response(body, made.status, headers)
        except BaseException:
            reservation.release()
            raise
        finally:
            # The thread is reused: neither deadline nor request id may leak into other work.
            CURRENT.set(None)
            logs.REQUEST.set("")


def _request_id(request: Incoming) -> str:
    """Return the load balancer's id if it is well-formed, otherwise a new one."""
    given = request.headers.get("x-request-id", "")
    # The id is no secret: avoid the system call of a cryptographic generator.
    return given if _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


def _actor_of(caller: Reader | PrivacyOperator) -> Actor:
    if isinstance(caller, EndUser):
        return Actor("user", caller.user)
    return Actor("ops" if isinstance(caller, PrivacyOperator) else "backend", caller.name)
