"""The callback's read without a framework around it: what almost every request is.

It answers success, and nothing else. Whatever isn't plain (another credential than a bearer token, a body
without a length) and whatever is refused or fails goes the long way through Flask, which has an answer to
everything. Guard, body, use case and reply are the same pieces on both ways; a test sends both the same
requests and compares.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import structlog

from resolver import logs
from resolver.audit.attempt import Attempt
from resolver.audit.event import Actor
from resolver.deadline import CURRENT, Deadline
from resolver.errors import ResolverError
from resolver.services import Services
from resolver.web import callback, reply
from resolver.web.body import LARGEST_BODY, parsed
from resolver.web.cors import Cors
from resolver.web.guards import bearer
from resolver.web.request import RENDERING_SECONDS, REQUEST_ID, STARTED, request_id_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_PATH = callback.PREFIX + "get"
_log = structlog.get_logger(__name__)
_OK = "200 OK"


class ShortWay:
    def __init__(self, long_way: WSGIApplication, services: Services, cors: Cors) -> None:
        self.long_way = long_way
        self._services = services
        self._cors = cors
        self._seconds = services.settings.deadline_ms / 1000 - RENDERING_SECONDS

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != _PATH or environ["REQUEST_METHOD"] != "POST":
            return self.long_way(environ, start_response)
        environ[STARTED] = started = time.monotonic()
        environ[REQUEST_ID] = request = request_id_of(environ.get("HTTP_X_REQUEST_ID", ""))
        logs.REQUEST.set(request)
        body = self._body(environ, request, Deadline(started + self._seconds))
        if body is None:
            return self.long_way(environ, start_response)
        headers = reply.headers(request, self._cors, environ.get("HTTP_ORIGIN"))
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(_OK, headers)
        reply.tell("callback", "POST", _PATH, 200, time.monotonic() - started)
        return [body]

    def _body(self, environ: WSGIEnvironment, request: str, deadline: Deadline) -> bytes | None:
        """None when it isn't this way's to answer."""
        CURRENT.set(deadline)
        try:
            return self._answer(environ, request, deadline)
        except ResolverError:
            return None
        except Exception as error:  # noqa: BLE001 - the long way answers that too, in our shape
            _log.error("short_way_failed", type=type(error).__name__)
            return None
        finally:
            CURRENT.set(None)

    def _answer(self, environ: WSGIEnvironment, request: str, deadline: Deadline) -> bytes | None:
        services = self._services
        who = services.tokens.verify(bearer(environ.get("HTTP_AUTHORIZATION", "")))
        services.vault.guard.require_replayed()
        body = _read(environ)
        if body is None:
            return None
        asked = callback.asked(parsed(body), who)
        if services.calls is not None:
            services.calls.count(who.user, who.organizations)
        attempt = Attempt(services.trail, "callback", "get", request, Actor("user", who.user))
        return callback.answer(services, who, asked, deadline, attempt)


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
