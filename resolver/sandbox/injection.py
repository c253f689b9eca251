"""Carries a fault out around the work of one request."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Response

from resolver.sandbox.faults import Fault, FaultReply, Faults

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class DroppedConnectionError(ConnectionError):
    """Tells the server to end the connection without an answer; `reset` asks for a TCP reset."""

    def __init__(self, reset: bool) -> None:
        super().__init__("the sandbox drops this connection on purpose")
        self.reset = reset


class Dropped(Response):
    """A response that is never sent: the server calls it, and gets the exception instead."""

    def __init__(self, reset: bool) -> None:
        super().__init__()
        self.reset = reset

    def __call__(self, _environ: "WSGIEnvironment", _start: "StartResponse") -> Iterable[bytes]:
        raise DroppedConnectionError(self.reset)


def answer(work: Callable[[], Response], fault: Fault | None, faults: Faults) -> Response:
    if fault is None:
        return work()
    faults.pause(fault.latency)
    response = work() if fault.commits else Dropped(reset=False)
    faults.pause(fault.hang)
    if fault.drop:
        return Dropped(reset=fault.drop == "after")
    return _replaced(fault.reply) if fault.reply else response


def answered_code(response: Response) -> int | None:
    return None if isinstance(response, Dropped) else response.status_code


def _replaced(reply: FaultReply) -> Response:
    return Response(reply.body, reply.code, reply.headers, mimetype="application/json")
