"""`resolver check --live`: a probe through the real Velt, which shows what that stores and how it answers.

A signal is noted, and looked at between steps, each of which is short: so nothing is ever cut off between
Velt and what is to be taken away from it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple

import click

from resolver.app import create_app
from resolver.audit.event import Actor
from resolver.audit.trail import AuditContext
from resolver.auth.claims import EndUser
from resolver.cli import velts_answers
from resolver.cli.finding import Finding
from resolver.cli.on_record import STDERR, operator
from resolver.cli.terminal import say
from resolver.cli.transcript import RecordedVeltClient, Transcript
from resolver.config import Settings
from resolver.deadline import Deadline
from resolver.errors import ResolverError, Unavailable, VeltRefused
from resolver.notifications.probe import ACTOR, STRANGER, Left, Probe, words_in
from resolver.ops import logs
from resolver.validation.fields import is_identifier, is_valid_unicode
from resolver.wiring import Services, build

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GET = "/api/velt/notifications/get"


class Where(NamedTuple):
    organization: str
    document: str
    user: str


def meant(live: bool, *given: str | None) -> Where | None:
    """Where the probe goes: all of it is said, or there is none."""
    if not live and any(value is not None for value in given):
        raise click.UsageError("--organization, --document and --user go with --live.")
    if not live:
        return None
    if missing := [name for name, value in zip(Where._fields, given, strict=True) if not _is_sound_id(value)]:
        options = ", ".join(f"--{name}" for name in missing)
        raise click.UsageError(f"--live adds a notification: say where and for whom with {options}.")
    return Where(*map(str, given))


def _is_sound_id(value: str | None) -> bool:
    return value is not None and is_identifier(value) and is_valid_unicode(value)


def probed(settings: Settings, where: Where, report: Path | None = None) -> Iterator[Finding]:
    """`report` is a file for the transcript, if one is wanted."""
    # Told within the call, short-lived should it be left behind after all, and counted against nobody.
    settings = replace(settings, registration="inline", retention_days=1, rate_limit=None, log_level="error")
    logs.configure(settings.log_level, settings.log_format)
    velt = RecordedVeltClient(
        settings.velt_api_url, settings.velt_api_key, settings.velt_auth_token, 1, settings.outbound
    )
    services = build(replace(settings, surfaces=frozenset({"callback"})), standard=STDERR, velt=velt)
    with closing(services.trail), _noted_signals() as stopped:
        probe = _probe(services, where)
        _announce(probe)
        secrets = [secret.reveal() for secret in (settings.velt_api_key, settings.velt_auth_token) if secret]
        velt.transcript = transcript = Transcript(_placeholders(probe))
        shown: list[Finding] = []
        with closing(_round(_Live(settings, services, probe, stopped))) as findings:
            for finding in findings:
                shown.append(finding.without(secrets))
                yield shown[-1]
        if report:
            try:
                transcript.write(report, settings.velt_api_url, shown)
            except OSError as error:
                yield Finding("fail", "live", f"the report cannot be written to {report}: {error.strerror}")


def _placeholders(probe: Probe) -> dict[str, str]:
    """What a transcript calls the ids of a run."""
    rows = {id_: id_.replace(probe.id, "<probe>") for id_ in probe.rows}
    given = {probe.organization: "<organization>", probe.document: "<document>", probe.user: "<user>"}
    return {
        f"{probe.organization}-else": "<another organization>",
        **given,
        ACTOR: ACTOR,
        STRANGER: STRANGER,
        **rows,
    }


def _round(live: _Live) -> Generator[Finding]:
    try:
        for step in live.steps():
            if live.stopped():
                break
            yield from step()
    except _Enough as reason:
        yield Finding("fail", "live", str(reason))
    except ResolverError as error:
        yield Finding("fail", "live", f"broke off: {_why(error)}")
    finally:
        left = live.probe.take_away()
    yield _taken_away(live.probe, left)
    if left.nothing and not live.stopped():
        with suppress(Unavailable):
            yield from velts_answers.deleted_again(live.probe)
    if live.stopped():
        yield Finding("fail", "live", "was interrupted: what isn't said above was not looked at")


class _Enough(Exception):
    """Nothing that follows would make sense."""


@dataclass(frozen=True, slots=True)
class _Live:
    settings: Settings
    services: Services
    probe: Probe
    stopped: Callable[[], bool]

    def steps(self) -> tuple[Callable[[], Iterator[Finding]], ...]:
        return (self.leftovers, self.add, self.answers, self.callback, self.blank)

    def leftovers(self) -> Iterator[Finding]:
        if found := self.probe.leftovers(until=self.stopped):
            self.probe.remove(found)
            yield Finding("ok", "live", f"probes that a killed run left are removed: {', '.join(found)}")

    def add(self) -> Iterator[Finding]:
        try:
            added = self.probe.added()
        except VeltRefused as refusal:
            raise _Enough(
                f"Velt refuses a notification in resolver mode ({_why(refusal)}). "
                "Are the organization and the document there?"
            ) from None
        if added["registration"] != "registered":
            raise _Enough("Velt cannot be reached with the probe: it waited in the outbox")
        yield Finding("ok", "live", f"Velt took {self.probe.id} in resolver mode; its content is sealed here")

    def answers(self) -> Iterator[Finding]:
        lag = yield from velts_answers.stored(self.probe, self.stopped)
        if not self.stopped():
            yield from velts_answers.added_again(self.probe, lag)
        for ask in (
            velts_answers.updated,
            velts_answers.without_users,
            velts_answers.deleted_unknown,
        ):
            if not self.stopped():
                yield from ask(self.probe)
        if not self.stopped():
            yield from velts_answers.deleted_for_one(self.probe, lag)

    def blank(self) -> Iterator[Finding]:
        """Last: from then on Velt's record is another one."""
        yield from velts_answers.blanked(self.probe)

    def callback(self) -> Iterator[Finding]:
        """In this process, through the application as it is served."""
        app = create_app(self.services.settings, self.services)
        organization, user = self.probe.organization, self.probe.user
        try:
            own = self._read(app, user, organization)
        except Unavailable as error:
            yield Finding("warn", "live", f"the callback was left out. {error}")
            return
        yield self._own(own, user, organization)
        yield self._others("somebody of another organization", self._read(app, user, f"{organization}-else"))
        if self.settings.read_policy == "recipient":
            yield self._others("somebody else of the organization", self._read(app, STRANGER, organization))

    def _read(self, app: Any, user: str, organization: str) -> Any:
        """The callback's reply about the probe, to that person's token."""
        token = self.services.tokens.mint(user, [organization]).token
        asked = {"organizationId": self.probe.organization, "notificationIds": [self.probe.id]}
        reply = app.test_client(use_cookies=False).post(
            _GET, json=asked, headers={"authorization": f"Bearer {token}"}
        )
        return reply.get_json()

    def _own(self, reply: Any, user: str, organization: str) -> Finding:
        if words_in(reply):
            return Finding("ok", "live", f"the callback gives {user} the content")
        person = EndUser(user, frozenset({organization}))
        deadline = Deadline.after(self.settings.deadline_ms / 1000)
        why = self.services.read_notifications.explain(person, organization, self.probe.id, deadline)
        said = why.value if why else "it isn't held any more"
        # A token that is minted names no documents; an identity provider's may.
        by_claim = self.settings.read_policy == "document" and self.settings.permission is None
        outcome: Literal["warn", "fail"] = "warn" if by_claim else "fail"
        return Finding(outcome, "live", f"the callback does not give {user} the content: {said}")

    def _others(self, who: str, reply: Any) -> Finding:
        if words_in(reply):
            return Finding("fail", "live", f"THE CALLBACK GIVES THE CONTENT TO {who.upper()}")
        return Finding("ok", "live", f"the callback does not give it to {who}")


def _probe(services: Services, where: Where) -> Probe:
    who = Actor("ops", operator())

    def audit() -> AuditContext:
        return AuditContext(services.trail, "cli", "check live", "", who)

    return Probe(*where, services.add, services.delete, services.keyspace, audit)


def _announce(probe: Probe) -> None:
    say(
        f"Adding one notification at Velt: {probe.id}, in organization {probe.organization}, document "
        f"{probe.document}, from {ACTOR} to {probe.user} alone, then three rows without content: one to "
        f"{probe.user}, two that no reader matches. All are taken away again.",
        err=True,
    )


def _taken_away(probe: Probe, left: Left) -> Finding:
    if left.nothing:
        return Finding("ok", "live", "the probe is gone, at Velt and here; nothing waits in the outbox")
    here = {
        False: "its content is gone here",
        True: "ITS CONTENT IS STILL HELD: it expires within a day",
        None: "Redis cannot be asked whether its content is gone: it expires within a day",
    }[left.held]
    if left.waiting:
        there = "its removal at Velt stays in the outbox, and a worker does it when Velt is back"
    elif left.refused:
        there = "Velt took its removal and doesn't let anybody look"
        return Finding("warn", "live", f"{here}; {there}")
    else:
        there = {
            False: "Velt doesn't have it any more",
            True: "VELT STILL GIVES IT BACK",
            None: "Velt cannot be asked whether it is gone",
        }[left.at_velt]
    later = "A later --live removes it." if left.held or left.at_velt is not False else ""
    return Finding("fail", "live", f"{here}; {there} ({probe.id}). {later}".rstrip())


def _why(error: ResolverError) -> str:
    if isinstance(error, VeltRefused):
        return velts_answers.refusal(error)
    return str(getattr(error, "reason", "") or error)


@contextmanager
def _noted_signals() -> Iterator[Callable[[], bool]]:
    """Instead of ending the process: whether one asked to stop."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            # The terminal may be what went.
            with suppress(OSError):
                os.write(STDERR, b"\nStopping: taking the probe away first.\n")

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
