"""An erasure: whom it is about, where, and how far it is. Kept from the asking to the certificate."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Any, Self

from resolver import clock
from resolver.privacy.mentions import Mention, mention
from resolver.privacy.people import Subject
from resolver.validation.fields import is_identifier, is_valid_unicode

JSON = dict[str, Any]
CLOCK_MARGIN_MS = 300_000


class Phase(StrEnum):
    WAITING = "waiting"
    ERASING = "erasing"
    TELLING = "telling"
    """All is gone here; Velt is being told."""
    DONE = "done"


class Odd(Enum):
    """Why an order can't be meant so. What the caller wrote has other names over HTTP than at a terminal."""

    NAMES = auto()
    WHOLE = auto()
    NOBODY = auto()
    VELT_NEEDS_USERS = auto()
    NO_WORD = auto()


@dataclass(frozen=True, slots=True)
class VeltJob:
    """A deletion of people's data that Velt was asked for: at most thirty people each."""

    users: tuple[str, ...]
    job: str = ""
    ended: str = ""
    """`completed`, or the status that Velt refused it with."""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    id: str
    by: str
    asked: str
    users: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    mentioning: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    """None: everywhere."""
    whole: bool = False
    """All that these organizations have, whoever it is about."""
    velt_user_data: bool = False
    """Velt is to delete all that it has of these users, not the notifications alone."""
    until: int = 0
    """Reaches only what was added before (epoch milliseconds), whenever it is carried out. 0: unbounded."""
    phase: Phase = Phase.WAITING
    looked: int = 0
    of: int = 0
    commands: int = 0
    unreadable: int = 0
    ending: bool = False
    """Nothing is left to do but to sign the certificate and to keep it."""
    jobs: tuple[VeltJob, ...] = ()

    @property
    def subject(self) -> Subject:
        return Subject(frozenset(self.users), frozenset(map(str.lower, self.emails)))

    @property
    def mentions(self) -> tuple[Mention, ...]:
        return tuple(map(mention, self.mentioning))

    def covers(self, organization: str, created: int = 0) -> bool:
        inside = not self.organizations or organization in self.organizations
        return inside and (not self.until or created <= self.until)

    def names(self) -> list[str]:
        """Of whom or what it is about."""
        return [*self.users, *map(str.lower, self.emails), *self.mentioning, *self.organizations]

    def problem(self) -> Odd | None:
        """Why it can't be meant so. An empty name would stand for everybody who has none."""
        names = (*self.users, *self.emails, *self.organizations)
        if not all(is_identifier(name) and is_valid_unicode(name) for name in names):
            return Odd.NAMES
        somebody = bool(self.users or self.emails or self.mentioning)
        if self.whole and (somebody or not self.organizations):
            return Odd.WHOLE
        if not self.whole and not somebody:
            return Odd.NOBODY
        if self.velt_user_data and not self.users:
            return Odd.VELT_NEEDS_USERS
        if not (all(self.mentions) and all(map(is_valid_unicode, self.mentioning))):
            return Odd.NO_WORD
        return None

    def bounded(self) -> ErasureRequest:
        """As it is filed. An order that comes back later, from a backup or by the hand of someone who can
        write to Redis, doesn't reach what people were sent since."""
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
    """Until when an erasure reaches, by when it was asked for. Clocks of hosts may differ by the margin."""
    return clock.milliseconds_of(asked) + CLOCK_MARGIN_MS


def new_id() -> str:
    return secrets.token_hex(16)
