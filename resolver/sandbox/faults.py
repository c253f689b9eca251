"""Faults declared at /_sandbox/faults: which requests go wrong, and how."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import orjson
from flask import Response

from resolver.sandbox.replies import invalid, status_for
from resolver.sandbox.validation import Fields, Json, flag, integer, mapping, number, one_of, text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


_HANG_SECONDS = 30.0
_LONGEST_WAIT = 300
_NO_LIMIT = 2**53 - 1
_TORN_JSON = b'{"result":{"status":"success","message":'
_EFFECTS = {"status", "latencyMs", "drop", "hang", "malformed", "body", "retryAfter"}
_KNOWN = _EFFECTS | {"path", "errorStatus", "message", "count", "rate", "seed", "commit"}


@dataclass(frozen=True)
class FaultReply:
    """The answer given in place of Velt's."""

    code: int
    body: bytes
    headers: dict[str, str]


@dataclass
class Fault:
    declared: Json
    path: str
    rate: float
    remaining: int | None
    chance: Random
    latency: float
    hang: float
    drop: Literal["before", "after"] | None
    reply: FaultReply | None
    commits: bool
    """Whether the request takes effect although its answer goes wrong."""
    hits: int = field(default=0)

    def strikes(self, path: str) -> bool:
        """Decide whether the fault applies to a request, and count it if so."""
        if self.remaining == 0 or not fnmatchcase(path, self.path) or self.chance.random() >= self.rate:
            return False
        self.hits += 1
        self.remaining = None if self.remaining is None else self.remaining - 1
        return True

    def shape(self) -> Json:
        return {**self.declared, "hits": self.hits, "remaining": self.remaining}


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._release = Event()

    def declare(self, faults: Iterable[Fault]) -> None:
        self._faults.extend(faults)

    def clear(self) -> None:
        """Remove all faults, and release the requests that they hold."""
        self._faults.clear()
        self._release.set()
        self._release = Event()

    def strike(self, path: str) -> Fault | None:
        """Return the first fault that applies to a request; later ones have no effect on it."""
        return next((fault for fault in self._faults if fault.strikes(path)), None)

    def pause(self, seconds: float) -> None:
        self._release.wait(seconds)

    def shape(self) -> list[Json]:
        return [fault.shape() for fault in self._faults]


def read_faults(body: Any) -> list[Fault]:
    """Read one fault, a list of faults, or `{"faults": […]}`."""
    listed = body.get("faults", [body]) if isinstance(body, dict) else body
    if not isinstance(listed, list):
        raise invalid("faults must be an array")
    return [_fault(Fields(mapping(one, f"faults[{at}]"), f"faults[{at}]")) for at, one in enumerate(listed)]


def _fault(given: Fields) -> Fault:
    given.refuse_others(_KNOWN)
    if not given.values.keys() & _EFFECTS:
        raise invalid(f"a fault needs one of {', '.join(sorted(_EFFECTS))}")
    rate = given.optional("rate", number(0, 1))
    drop, hang, reply = _drop(given), given.optional("hang", _seconds) or 0.0, _reply(given)
    return Fault(
        declared=dict(given.values),
        path=given.optional("path", text) or "*",
        rate=1.0 if rate is None else rate,
        remaining=given.optional("count", integer(1, _NO_LIMIT)),
        chance=Random(given.optional("seed", integer(0, _NO_LIMIT)) or 0),  # noqa: S311 (to be repeatable)
        latency=(given.optional("latencyMs", number(0, _LONGEST_WAIT * 1000)) or 0.0) / 1000,
        hang=hang,
        drop=drop or ("before" if hang else None),
        reply=reply,
        commits=_commits(given, drop, spoils=bool(hang or reply)),
    )


def _drop(given: Fields) -> Literal["before", "after"] | None:
    drop = given.optional("drop", one_of("before", "after"))
    if drop is None:
        return None
    return "before" if drop == "before" else "after"


def _commits(given: Fields, drop: str | None, spoils: bool) -> bool:
    """Whether the work is done: `drop` decides itself, latency alone always commits, and a replaced answer
    commits if `commit` says so."""
    commit = given.optional("commit", flag)
    if commit is not None and (drop or not spoils):
        raise invalid("commit goes with status, body, malformed, retryAfter or hang only, and without drop")
    return drop == "after" or bool(commit) or not (drop or spoils)


def _seconds(value: object, path: str) -> float:
    if isinstance(value, bool):
        return _HANG_SECONDS if value else 0.0
    return number(0, _LONGEST_WAIT)(value, path)


def _reply(given: Fields) -> FaultReply | None:
    replaces = given.values.keys() & {"status", "body", "retryAfter"} or given.is_set("malformed")
    if not replaces:
        return None
    code = given.optional("status", integer(200, 599)) or _default_code(given)
    retry_after = given.optional("retryAfter", _retry_after)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return FaultReply(code, _body(given, code), headers)


def _default_code(given: Fields) -> int:
    return 200 if given.values.keys() & {"body", "malformed"} else 429


def _retry_after(value: object, path: str) -> str:
    """Read seconds, or an HTTP date, which the header also allows."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return text(value, path)
    return str(integer(0, _NO_LIMIT)(value, path))


def _body(given: Fields, code: int) -> bytes:
    if given.is_set("malformed"):
        return _TORN_JSON
    if "body" in given.values:
        return orjson.dumps(given.values["body"])
    status = given.optional("errorStatus", text) or status_for(code)
    message = given.optional("message", text) or "Injected fault."
    return orjson.dumps({"error": {"message": message, "status": status}})


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
    """Do the work of a request, with its fault applied."""
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
