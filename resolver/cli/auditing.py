"""Audit operators' commands, before they take effect."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from resolver.audit.event import Actor, Event
from resolver.audit.trail import Trail
from resolver.cli.terminal import say
from resolver.config import Settings
from resolver.errors import StoreUnavailable, WrongDatabase
from resolver.wiring import Stores, build_trail, note_signers, require_known_signer

_UID = re.compile(r"[0-9]{1,10}")
STDERR = 2
"""Where a command's trail goes when RESOLVER_AUDIT_LOG is standard output, which holds its own output."""


def audit_command(
    settings: Settings, stores: Stores, action: str, organization: str = "", ids: Sequence[str] = ()
) -> None:
    _require_own_keys(settings, stores)
    audit_unchecked(settings, stores, action, organization, ids)
    with suppress(StoreUnavailable):  # the next command notes them
        note_signers(settings, stores)


def audit_unchecked(
    settings: Settings, stores: Stores, action: str, organization: str, ids: Sequence[str]
) -> None:
    """Audit without checking the database identity: during a re-index it belongs to neither key."""
    with open_trail(settings, stores) as trail:
        trail.record(operator_event(action, organization, ids))


def operator_event(action: str, organization: str, ids: Sequence[str]) -> Event:
    """Build the event for an action of the operator who runs this command."""
    return Event(Actor("ops", operator()), "cli", action, "ok", organization=organization, ids=ids)


@contextmanager
def open_trail(settings: Settings, stores: Stores) -> Iterator[Trail]:
    """Open this command's audit trail."""
    with closing(
        build_trail(settings, stores, standard=STDERR, on_checkpoint_failure=_warn_unanchored)
    ) as trail:
        yield trail


def _require_own_keys(settings: Settings, stores: Stores) -> None:
    """Refuse to write lines about another database, or signed with another key: `audit verify` would never
    accept them."""
    try:
        require_known_signer(settings, stores)
    except WrongDatabase:
        raise
    except StoreUnavailable:
        pass  # the command itself reports it, if it needs Redis


def _warn_unanchored(reason: str) -> None:
    say(
        f"This is in the audit trail, but its checkpoint could not be stored in Redis ({reason}).",
        err=True,
    )


def operator() -> str:
    """Name the user who runs this command, from the system, since anyone can set environment variables.
    SUDO_UID counts only for root, for whom sudo has set it."""
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
