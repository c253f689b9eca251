"""One request as it came in, and what it carries on its way through."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from werkzeug import Request

from resolver.audit.context import Attempt
from resolver.deadline import Deadline
from resolver.ops.reply_budget import Reservation

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

LARGEST_BODY = 1024 * 1024
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,128}")
Caller = TypeVar("Caller")


class Incoming(Request):
    """An HTTP request."""

    # One byte more than is accepted: a body without a length is cut off here, and must not pass for whole.
    max_content_length = LARGEST_BODY + 1

    def __init__(self, environ: WSGIEnvironment) -> None:
        super().__init__(environ, populate_request=False)

    def request_id(self) -> str:
        """The balancer's, when it is well-formed."""
        given = self.headers.get("x-request-id", "")
        # Nothing is secret about it, so no system call is made for it.
        return given if _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


@dataclass(slots=True)
class Call(Generic[Caller]):
    """A request that passed the guard of its endpoint."""

    request: Incoming
    id: str
    deadline: Deadline
    attempt: Attempt
    caller: Caller
    arguments: Mapping[str, str]
    """The variable parts of the path."""
    reservation: Reservation
    """What the reply may hold of the process's memory."""
