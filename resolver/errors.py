"""Everything that can go wrong, as one tree. No HTTP here: `web/errors.py` renders it per surface.

ResolverError
├── InvalidArgument          the caller's mistake
│   ├── NotJson              … the body isn't JSON, or isn't declared as JSON
│   └── TooLarge             … more bytes than are accepted
├── Unauthenticated          no credential, or (on callbacks) one that doesn't hold
├── PermissionDenied         a credential that holds no right to this
├── NotFound                 no such path, or a surface that is closed here
├── AlreadyExists            another request was made under the same Idempotency-Key
├── NotRegistered            the request was made before, and Velt refused it since
├── Unavailable              try again: something that mends itself is in the way
│   ├── Overloaded           … this process is reading or sending too many large replies
│   ├── VaultUnavailable     … Redis: down, slow or full
│   │   ├── VaultForeign     … Redis: the database was made with other keys
│   │   │   └── VaultOutdated    … by another version, in a schema that this one doesn't read
│   │   ├── VaultRestored    … Redis: it came back from a backup, and people with it who were erased
│   │   └── StoreTampered    … Redis: it holds what this service never wrote
│   ├── AuditUnavailable     … the audit trail can't be written: what isn't on record isn't done
│   ├── Unanswered           … another service gave no usable answer
│   ├── VeltUnavailable      … Velt: down or slow
│   │   └── VeltFailed       … Velt answered with a failure of its own, or without making sense
│   └── Overtaken            … other writers changed the same record three times in a row
├── TooManyCalls             more than RESOLVER_RATE_LIMIT allows
├── VeltRefused              Velt's own answer to the caller, passed on unchanged
├── Unreadable               sealed bytes that do not open
└── SettingsError            the environment is incomplete, weak or contradictory

Messages may reach callers: they never name content, people, secrets or internals.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ResolverError(Exception):
    code: ClassVar[str] = "INTERNAL"
    message: str = "Something went wrong on our side."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)
        if message:
            self.message = message


class InvalidArgument(ResolverError):
    code = "INVALID_ARGUMENT"
    message = "The request is not valid."


class NotJson(InvalidArgument):
    message = "The body must be JSON, sent with the content type application/json."


class TooLarge(InvalidArgument):
    message = "The request is too large."


class Unauthenticated(ResolverError):
    code = "UNAUTHENTICATED"
    message = "A valid credential is required."


class PermissionDenied(ResolverError):
    code = "PERMISSION_DENIED"
    message = "Not allowed."


class NotFound(ResolverError):
    code = "NOT_FOUND"
    message = "Not found."


class AlreadyExists(ResolverError):
    code = "ALREADY_EXISTS"
    message = "This Idempotency-Key was used for another request."


class NotRegistered(ResolverError):
    code = "FAILED_PRECONDITION"
    message = (
        "The notification is held here, and Velt refused to register it. Ask an operator to look at "
        "resolver outbox dead, or send the mended request under another Idempotency-Key."
    )


class Unavailable(ResolverError):
    code = "UNAVAILABLE"
    message = "Temporarily unavailable. Please try again."


class TooManyCalls(ResolverError):
    code = "RESOURCE_EXHAUSTED"
    message = "Too many calls. Please try again later."

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.retry_after = str(seconds)


class Overloaded(Unavailable):
    """`reason` is for the operator's log. `what` is `large`, or `small` for a reply up to 256 KiB."""

    message = "Too many large replies are being sent. Please try again, or ask for fewer notifications."
    retry_after = "2"

    def __init__(self, reason: str, what: str = "large") -> None:
        super().__init__()
        self.reason = reason
        self.what = what


class StoreUnavailable(Unavailable):
    """`reason` is for the operator's log; the caller sees the general message."""

    state: ClassVar[str] = "down"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class WrongDatabase(StoreUnavailable):
    state = "foreign"


class OutdatedSchema(WrongDatabase):
    state = "outdated"


class ErasuresNotReplayed(StoreUnavailable):
    state = "restored"


class StoreTampered(StoreUnavailable):
    pass


class AuditUnavailable(Unavailable):
    """`reason` is for the operator's log."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class ServiceUnreachable(Unavailable):
    """`reason` is the kind of failure, for logs: it names no address and quotes no answer."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class VeltUnavailable(Unavailable):
    def __init__(self, reason: str, retry_after: str | None = None) -> None:
        super().__init__("Velt is temporarily unavailable. Please try again.")
        self.reason = reason
        self.retry_after = retry_after


class VeltFailed(VeltUnavailable):
    """Velt answered this call, and with no result: it may be the call, or Velt."""


class Overtaken(Unavailable):
    message = "The notification is being changed by others. Please try again."


class VeltRefused(ResolverError):
    """Velt understood and said no. `payload` is its whole answer, `http_status` how it was sent."""

    def __init__(
        self, status: str, http_status: int, payload: dict[str, Any], retry_after: str | None = None
    ) -> None:
        super().__init__("Velt refused the request.")
        self.status = status
        self.http_status = http_status
        self.payload = payload
        self.retry_after = retry_after


class Unreadable(ResolverError):
    """One error for every reason (flipped bit, truncation, swapped value, withdrawn key): a reader of
    the difference would learn something about what was tried."""

    message = "A sealed record does not open."


class SettingsError(ResolverError):
    """Every problem at once, so that a deployment is mended in one go."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {p}" for p in problems))
        self.problems = problems
