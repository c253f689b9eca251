"""One request as it came in, and what it carries on its way through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from werkzeug import Request

from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.ops.reply_budget import Reservation

LARGEST_BODY = 1024 * 1024
Caller = TypeVar("Caller")


class Incoming(Request):
    """An HTTP request."""

    # One byte more than is accepted: a body without a length is cut off here, and must not pass for whole.
    max_content_length = LARGEST_BODY + 1


@dataclass(slots=True)
class Call(Generic[Caller]):
    """A request that passed the guard of its endpoint."""

    request: Incoming
    id: str
    deadline: Deadline
    audit: AuditContext
    caller: Caller
    arguments: Mapping[str, str]
    """The variable parts of the path."""
    reservation: Reservation
    """What the reply may hold of the process's memory."""
