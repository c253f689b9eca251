"""A router for what is asked all day: it looks requests up in a dict of the endpoints that Flask has too.

It is an optimization and nothing else. Without it everything is answered alike, some 0.2 ms later
(docs/decisions/0022-one-way-in.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from werkzeug.http import HTTP_STATUS_CODES

from resolver.api.endpoint import Endpoint, Responder
from resolver.ops.reply_budget import Reservation

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class HotPathRouter:
    def __init__(self, flask: WSGIApplication, responder: Responder, endpoints: Iterable[Endpoint]) -> None:
        self._flask, self._responder = flask, responder
        self._endpoints = {endpoint.route.path: endpoint for endpoint in endpoints if _is_hot(endpoint)}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        endpoint = self._endpoints.get(environ["PATH_INFO"])
        if endpoint is None or environ["REQUEST_METHOD"] != "POST":
            return self._flask(environ, start_response)
        response = self._responder.respond(endpoint, environ)
        body = response.body
        if isinstance(body, bytes):
            response.headers.append(("Content-Length", str(len(body))))
            body = (body,)
        reply = _Body(body, response.reservation) if response.reservation.size else body
        try:
            start_response(_status_line(response.status), response.headers)
        except BaseException:
            response.reservation.release()
            raise
        return reply


class _Body:
    """A body whose bytes are given back to the budget when it was sent, or its connection has ended."""

    def __init__(self, body: Iterable[bytes], reservation: Reservation) -> None:
        self._body, self._reservation = body, reservation

    def __iter__(self) -> Iterator[bytes]:
        """Give bytes back piece by piece: a client may take a large reply slowly, and in time."""
        for piece in self._body:
            yield piece
            self._reservation.shrink(max(0, self._reservation.size - len(piece)))

    def close(self) -> None:
        self._body = ()
        self._reservation.release()


@cache
def _status_line(status: int) -> str:
    """As Werkzeug has it; Velt may refuse with a number that has no name."""
    return f"{status} {HTTP_STATUS_CODES.get(status, 'Unknown').upper()}"


def _is_hot(endpoint: Endpoint) -> bool:
    """Data provider and Velt-compatible endpoints: whole replies, and paths without variables."""
    return endpoint.route.method == "POST" and endpoint.surface.name in ("callback", "mirror")
