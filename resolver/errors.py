"""The tree of errors that several packages share. `api/errors.py` renders them for each surface over HTTP.

ResolverError
├── InvalidArgument              the request is not valid
│   ├── NotJson                  … the body isn't JSON, or isn't declared as JSON
│   └── TooLarge                 … more bytes than are accepted
├── Unauthenticated              no credential, or (data provider endpoints) an invalid one
├── PermissionDenied             the credential doesn't permit this
├── NotFound                     no such path, or a surface that is closed here
├── AlreadyExists                the Idempotency-Key was used for another request
├── NotRegistered                the request was made before, and Velt has refused it since
├── Unavailable                  temporary: the caller may retry
│   ├── Overloaded               … this process is reading or sending too many large replies
│   ├── StoreUnavailable         … Redis is down, slow or full
│   │   ├── WrongDatabase        … the Redis database was made with other keys
│   │   │   └── OutdatedSchema   … by a version whose schema this one doesn't read
│   │   ├── ErasuresNotReplayed  … Redis was restored from a backup, with people who were erased
│   │   └── StoreTampered        … Redis holds data that this service never wrote
│   ├── AuditUnavailable         … the audit trail can't be written, so nothing is done
│   ├── ServiceUnreachable       … another service gave no usable answer
│   ├── VeltUnavailable          … Velt is down or slow
│   │   └── VeltFailed           … Velt answered with a failure, or its answer can't be read
│   └── Overtaken                … other writers changed the same record three times in a row
├── TooManyCalls                 more calls than RESOLVER_RATE_LIMIT permits
├── VeltRefused                  Velt's refusal, passed on unchanged
├── Unreadable                   sealed bytes that can't be opened
├── SettingsError                the settings are incomplete, weak or contradictory
└── UnknownSigner                RESOLVER_SIGNING_KEY lacks every key that has signed in this database

Clients may get the messages: they never name content, people, secrets or internals.
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
        "resolver outbox dead, or send the corrected request under another Idempotency-Key."
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
    """`reason` is for the log. `what` is `large`, or `small` for a reply up to 256 KiB."""

    message = "Too many large replies are being sent. Please try again, or ask for fewer notifications."
    retry_after = "2"

    def __init__(self, reason: str, what: str = "large") -> None:
        super().__init__()
        self.reason = reason
        self.what = what


class StoreUnavailable(Unavailable):
    """`reason` is for the log; clients get the general message."""

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
    """`reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class ServiceUnreachable(Unavailable):
    """`reason` is for the log: it names no address, and quotes no answer."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class VeltUnavailable(Unavailable):
    def __init__(self, reason: str, retry_after: str | None = None) -> None:
        super().__init__("Velt is temporarily unavailable. Please try again.")
        self.reason = reason
        self.retry_after = retry_after


class VeltFailed(VeltUnavailable):
    """Velt answered this call with a failure. The cause may be the call or Velt."""


class Overtaken(Unavailable):
    message = "The notification is being changed by others. Please try again."


class VeltRefused(ResolverError):
    """Velt refused the call. `payload` is its whole answer, `http_status` the status to pass on."""

    def __init__(
        self, status: str, http_status: int, payload: dict[str, Any], retry_after: str | None = None
    ) -> None:
        super().__init__("Velt refused the request.")
        self.status = status
        self.http_status = http_status
        self.payload = payload
        self.retry_after = retry_after


class Unreadable(ResolverError):
    """One error for every reason (changed bit, truncation, moved value, withdrawn key), so that it doesn't
    reveal which."""

    message = "A sealed record does not open."


class SettingsError(ResolverError):
    """All problems at once, so that they can be corrected together."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The settings are not usable:\n" + "\n".join(f"  - {p}" for p in problems))
        self.problems = problems


class UnknownSigner(ResolverError):
    """What this deployment signs would not be accepted by the others of this database."""

    message = (
        "None of RESOLVER_SIGNING_KEY has signed in this Redis database before. Name the former key too: "
        "RESOLVER_SIGNING_KEY=new,former. Only if it is lost, run `resolver keys adopt`."
    )
