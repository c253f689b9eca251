"""The request, and the call that handlers get."""

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
    """An HTTP request with a limited body."""

    # One byte more than accepted: a body without a length is truncated here and must not look complete.
    max_content_length = LARGEST_BODY + 1


@dataclass(slots=True)
class Call(Generic[Caller]):
    """A request that passed its endpoint's guard."""

    request: Incoming
    id: str
    deadline: Deadline
    audit: AuditContext
    caller: Caller
    arguments: Mapping[str, str]
    """The variable parts of the path."""
    reservation: Reservation
    """The reply's share of the memory for replies."""
