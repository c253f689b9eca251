"""Route the most frequent requests by a dict lookup instead of Flask's router.

This is only an optimization: without it, replies are the same, some 0.2 ms later
(docs/decisions/0022-one-way-in.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from werkzeug.http import HTTP_STATUS_CODES

from resolver.api.endpoint import Endpoint, ReservedBody, Responder

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
        try:
            start_response(_status_line(response.status), response.headers)
        except BaseException:
            if isinstance(body, ReservedBody):
                body.close()
            raise
        return (body,) if isinstance(body, bytes) else body


@cache
def _status_line(status: int) -> str:
    """Build the status line as Werkzeug does. Velt may refuse with a status that has no name."""
    return f"{status} {HTTP_STATUS_CODES.get(status, 'Unknown').upper()}"


def _is_hot(endpoint: Endpoint) -> bool:
    """Whether it is a data provider or Velt-compatible endpoint: their paths have no variables."""
    return endpoint.route.method == "POST" and endpoint.surface.name in ("callback", "mirror")
