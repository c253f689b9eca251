"""What operators do at a terminal goes on record like everything else, before it is done."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from resolver.audit.event import Actor, Event
from resolver.audit.trail import Trail
from resolver.cli.terminal import say
from resolver.config import Settings
from resolver.errors import StoreUnavailable, WrongDatabase
from resolver.wiring import Stores, build_trail

_UID = re.compile(r"[0-9]{1,10}")
STDERR = 2
"""Where the trail is standard output, a command keeps that for its own."""


def on_record(
    settings: Settings, stores: Stores, action: str, organization: str = "", ids: Sequence[str] = ()
) -> None:
    _require_our_key(stores)
    put_on_record(settings, stores, action, organization, ids)


def put_on_record(
    settings: Settings, stores: Stores, action: str, organization: str, ids: Sequence[str]
) -> None:
    """For what changes the index key itself: half-way through, the database isn't either key's."""
    with trail_of(settings, stores) as trail:
        trail.record(operator_event(action, organization, ids))


def operator_event(action: str, organization: str, ids: Sequence[str]) -> Event:
    """An action of the operator who runs this command, before it takes effect."""
    return Event(Actor("ops", operator()), "cli", action, "ok", organization=organization, ids=ids)


@contextmanager
def trail_of(settings: Settings, stores: Stores) -> Iterator[Trail]:
    """A command's own."""
    with closing(build_trail(settings, stores, standard=STDERR, on_checkpoint_failure=_say_so)) as trail:
        yield trail


def _require_our_key(stores: Stores) -> None:
    """Lines that another index key signed would be strange to whoever verifies the trail, for ever."""
    try:
        stores.store.ping()
    except WrongDatabase:
        raise
    except StoreUnavailable:
        pass  # whatever needs it says so


def _say_so(reason: str) -> None:
    say(
        f"This is in the audit trail, but Redis couldn't be told how long that is by now ({reason}).",
        err=True,
    )


def operator() -> str:
    """Who runs this command, as the system says: what the environment says, anybody can say. To root alone
    sudo has told whom it acts for."""
    user = os.getuid()
    behind = os.environ.get("SUDO_UID", "")
    if user == 0 and _UID.fullmatch(behind):
        return f"{_account(user)} (sudo: {_account(int(behind))})"
    return _account(user)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
