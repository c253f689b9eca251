"""What an installation does all day, without a framework around it: the callback's read, and the mirror's
endpoints that are answered from here.

It answers success, and nothing else. Whatever isn't plain (another credential than the usual one, a body
without a length) or isn't let in goes the long way through Flask, untouched: that has an answer to
everything. What fails later goes there with its failure, since a write must not be tried twice. Guard, body,
use case and reply are the same pieces on both ways; tests send both the same requests and compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from resolver import logs
from resolver.access.callers import Backend
from resolver.access.claims import EndUser
from resolver.audit.attempt import Attempt
from resolver.deadline import CURRENT, Deadline
from resolver.notifications.delivery import Reader
from resolver.services import Services
from resolver.web import callback, mirror, reply
from resolver.web.body import LARGEST_BODY, data_of, parsed
from resolver.web.cors import Cors
from resolver.web.guards import backend_in, bearer
from resolver.web.request import (
    FAILED,
    RENDERING_SECONDS,
    REQUEST_ID,
    STARTED,
    Failed,
    actor_of,
    request_id_of,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

JSON = dict[str, Any]
_OK = "200 OK"


class _Way(NamedTuple):
    """One endpoint: its guard, what of the body it takes, and its use case."""

    surface: str
    action: str
    cors: Cors | None
    admit: Callable[[WSGIEnvironment], Any]
    asked: Callable[[JSON, Any], Any]
    answer: Callable[[Any, Any, Deadline, Attempt], bytes]


class ShortWay:
    def __init__(self, long_way: WSGIApplication, services: Services, cors: Cors) -> None:
        self.long_way = long_way
        self._services = services
        self._seconds = services.settings.deadline_ms / 1000 - RENDERING_SECONDS
        self._ways: dict[str, _Way] = {}
        if "callback" in services.settings.surfaces:
            self._ways |= _of_callback(services, cors)
        if "mirror" in services.settings.surfaces:
            self._ways |= _of_mirror(services)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        way = self._ways.get(path)
        if way is None or environ["REQUEST_METHOD"] != "POST" or "HTTP_IDEMPOTENCY_KEY" in environ:
            return self.long_way(environ, start_response)
        environ[STARTED] = started = time.monotonic()
        environ[REQUEST_ID] = request = request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        logs.REQUEST.set(request)
        body = self._body(way, environ, request, Deadline(started + self._seconds))
        if body is None:
            return self.long_way(environ, start_response)
        headers = reply.headers(request, way.cors, environ.get("HTTP_ORIGIN"))
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(_OK, headers)
        reply.tell(way.surface, "POST", path, 200, time.monotonic() - started)
        return [body]

    def _body(self, way: _Way, environ: WSGIEnvironment, request: str, deadline: Deadline) -> bytes | None:
        """None when it isn't this way's to answer."""
        CURRENT.set(deadline)
        try:
            let_in = self._let_in(way, environ)
            if let_in is None:
                return None
            who, asked = let_in
            attempt = Attempt(self._services.trail, way.surface, way.action, request, actor_of(who))
            try:
                return way.answer(asked, who, deadline, attempt)
            except Exception as error:  # noqa: BLE001 - the long way answers it, whatever it is
                environ[FAILED] = Failed(attempt, error)
                return None
        finally:
            CURRENT.set(None)

    def _let_in(self, way: _Way, environ: WSGIEnvironment) -> tuple[Reader, Any] | None:
        """Who asks, and for what. None has no reason: the long way looks for itself, and says it."""
        try:
            who = way.admit(environ)
            self._services.vault.guard.require_replayed()
            body = _read(environ)
            return None if body is None else (who, way.asked(parsed(body), who))
        except Exception:  # noqa: BLE001
            return None


def _of_callback(services: Services, cors: Cors) -> dict[str, _Way]:
    def admit(environ: WSGIEnvironment) -> EndUser:
        return services.tokens.verify(bearer(environ.get("HTTP_AUTHORIZATION", "")))

    def asked(body: JSON, who: Reader) -> tuple[callback.Asked, JSON]:
        return callback.asked(body, who), body

    def answer(
        asked: tuple[callback.Asked, JSON], who: Reader, deadline: Deadline, attempt: Attempt
    ) -> bytes:
        what, body = asked
        # Whatever comes of it from here on is answered for good: it isn't counted on the long way, too.
        callback.count(services, who, body)
        return callback.answer(services, who, what, deadline, attempt)

    return {callback.PREFIX + "get": _Way("callback", "get", cors, admit, asked, answer)}


def _of_mirror(services: Services) -> dict[str, _Way]:
    def admit(environ: WSGIEnvironment) -> Backend:
        return backend_in(services, environ)

    def way(action: str, use_case: mirror.UseCase) -> _Way:
        def answer(data: Any, _who: Reader, deadline: Deadline, attempt: Attempt) -> bytes:
            return orjson.dumps(use_case(data, deadline, attempt))

        return _Way("mirror", action, None, admit, lambda body, _who: data_of(body), answer)

    return {
        endpoint.value: way(mirror.action(endpoint), use_case)
        for endpoint, use_case in mirror.use_cases(services).items()
    }


def _read(environ: WSGIEnvironment) -> bytes | None:
    """The body, when it is JSON of a length that was said; whoever reads after us finds it unread."""
    length: str = environ.get("CONTENT_LENGTH", "")
    if environ.get("CONTENT_TYPE") != "application/json" or not length.isdecimal():
        return None
    if int(length) > LARGEST_BODY or environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    read: Any = environ["wsgi.input"].read
    body: bytes = read(int(length))
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) == int(length) else None
