"""The erasure request: who is to be erased, where, and the progress. Stored until the certificate is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Any, Self

from resolver import clock
from resolver.privacy.mentions import Phrase, to_phrase
from resolver.privacy.people import Subject
from resolver.validation.fields import is_identifier, is_valid_unicode

JSON = dict[str, Any]
CLOCK_MARGIN_MS = 300_000


class Phase(StrEnum):
    WAITING = "waiting"
    ERASING = "erasing"
    AWAITING_VELT = "telling"
    """Everything is erased here; commands for Velt are queued."""
    DONE = "done"


class Problem(Enum):
    """Why a request is invalid. HTTP API and CLI each have a message for it, with their own field names."""

    INVALID_NAME = auto()
    WHOLE_WITH_PEOPLE = auto()
    NO_SUBJECT = auto()
    VELT_NEEDS_USERS = auto()
    MENTION_WITHOUT_WORD = auto()


@dataclass(frozen=True, slots=True)
class VeltJob:
    """A deletion of user data at Velt: at most thirty people each."""

    users: tuple[str, ...]
    job: str = ""
    ended: str = ""
    """`completed`, or the status with which Velt refused."""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    id: str
    by: str
    asked: str
    users: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    mentioning: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    """Empty: all organizations."""
    whole: bool = False
    """Erase everything these organizations have, not one person's data."""
    velt_user_data: bool = False
    """Velt deletes all data of these users, not only notifications."""
    until: int = 0
    """Erase only what was added before this time (epoch milliseconds). 0: no limit."""
    phase: Phase = Phase.WAITING
    looked: int = 0
    of: int = 0
    commands: int = 0
    unreadable: int = 0
    ending: bool = False
    """Only signing and storing the certificate is left."""
    jobs: tuple[VeltJob, ...] = ()

    @property
    def subject(self) -> Subject:
        return Subject(frozenset(self.users), frozenset(map(str.lower, self.emails)))

    @property
    def mentions(self) -> tuple[Phrase, ...]:
        return tuple(map(to_phrase, self.mentioning))

    def covers(self, organization: str, created: int = 0) -> bool:
        inside = not self.organizations or organization in self.organizations
        return inside and (not self.until or created <= self.until)

    def names(self) -> list[str]:
        """List everything that identifies the people or organizations."""
        return [*self.users, *map(str.lower, self.emails), *self.mentioning, *self.organizations]

    def problem(self) -> Problem | None:
        """Return why the request is invalid, or None. An empty name would match every record without one."""
        names = (*self.users, *self.emails, *self.organizations)
        if not all(is_identifier(name) and is_valid_unicode(name) for name in names):
            return Problem.INVALID_NAME
        has_people = bool(self.users or self.emails or self.mentioning)
        if self.whole and (has_people or not self.organizations):
            return Problem.WHOLE_WITH_PEOPLE
        if not self.whole and not has_people:
            return Problem.NO_SUBJECT
        if self.velt_user_data and not self.users:
            return Problem.VELT_NEEDS_USERS
        if not (all(self.mentions) and all(map(is_valid_unicode, self.mentioning))):
            return Problem.MENTION_WITHOUT_WORD
        return None

    def bounded(self) -> ErasureRequest:
        """Limit the request to notifications added before it. A request that reappears later, from a backup
        or written to Redis by hand, can't erase newer ones."""
        return self.now(until=reach(self.asked))

    def now(self, **changes: Any) -> ErasureRequest:
        return replace(self, **changes)

    def state(self) -> JSON:
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        lists = {name: tuple(value) for name, value in state.items() if isinstance(value, list)}
        jobs = tuple(VeltJob(**{**job, "users": tuple(job["users"])}) for job in state["jobs"])
        return cls(**{**state, **lists, "phase": Phase(state["phase"]), "jobs": jobs})


def reach(asked: str) -> int:
    """Return the latest creation time that an erasure covers. Hosts' clocks may differ by the margin."""
    return clock.milliseconds_of(asked) + CLOCK_MARGIN_MS


def new_id() -> str:
    return secrets.token_hex(16)
