"""`resolver check --live`: add a probe at Velt, examine what Velt stores and answers, remove the probe.

A signal is only noted, and handled between two short steps, so that the probe is always removed.
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
from resolver.cli import velt_behaviour
from resolver.cli.auditing import STDERR, operator
from resolver.cli.finding import Finding
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


class Target(NamedTuple):
    organization: str
    document: str
    user: str


def probe_target(live: bool, *given: str | None) -> Target | None:
    """Return where the probe goes, or None without --live. Raises UsageError for missing options."""
    if not live and any(value is not None for value in given):
        raise click.UsageError("--organization, --document and --user go with --live.")
    if not live:
        return None
    if missing := [
        name for name, value in zip(Target._fields, given, strict=True) if not _is_sound_id(value)
    ]:
        options = ", ".join(f"--{name}" for name in missing)
        raise click.UsageError(f"--live adds a notification: say where and for whom with {options}.")
    return Target(*map(str, given))


def _is_sound_id(value: str | None) -> bool:
    return value is not None and is_identifier(value) and is_valid_unicode(value)


def probed(settings: Settings, target: Target, report: Path | None = None) -> Iterator[Finding]:
    """Run the probe. `report`: the file for the transcript."""
    # Send to Velt within the call, don't count it in rate limits, and expire soon if it is left behind.
    settings = replace(settings, registration="inline", retention_days=1, rate_limit=None, log_level="error")
    logs.configure(settings.log_level, settings.log_format)
    velt = RecordedVeltClient(
        settings.velt_api_url, settings.velt_api_key, settings.velt_auth_token, 1, settings.outbound
    )
    services = build(replace(settings, surfaces=frozenset({"callback"})), standard=STDERR, velt=velt)
    with closing(services.trail), _noted_signals() as stopped:
        probe = _probe(services, target)
        _announce(probe)
        secrets = [secret.reveal() for secret in (settings.velt_api_key, settings.velt_auth_token) if secret]
        velt.transcript = transcript = Transcript(_placeholders(probe))
        shown: list[Finding] = []
        with closing(_findings(_Live(settings, services, probe, stopped))) as findings:
            for finding in findings:
                shown.append(finding.mask(secrets))
                yield shown[-1]
        if report:
            try:
                transcript.write(report, settings.velt_api_url, shown)
            except OSError as error:
                yield Finding("fail", "live", f"the report cannot be written to {report}: {error.strerror}")


def _placeholders(probe: Probe) -> dict[str, str]:
    """Map this run's ids to the transcript's placeholders."""
    rows = {id_: id_.replace(probe.id, "<probe>") for id_ in probe.rows}
    given = {probe.organization: "<organization>", probe.document: "<document>", probe.user: "<user>"}
    return {
        f"{probe.organization}-else": "<another organization>",
        **given,
        ACTOR: ACTOR,
        STRANGER: STRANGER,
        **rows,
    }


def _findings(live: _Live) -> Generator[Finding]:
    try:
        for step in live.steps():
            if live.stopped():
                break
            yield from step()
    except _Abort as reason:
        yield Finding("fail", "live", str(reason))
    except ResolverError as error:
        yield Finding("fail", "live", f"stopped: {_why(error)}")
    finally:
        left = live.probe.take_away()
    yield _removed(live.probe, left)
    if left.nothing and not live.stopped():
        with suppress(Unavailable):
            yield from velt_behaviour.deleted_again(live.probe)
    if live.stopped():
        yield Finding("fail", "live", "was interrupted: only what is listed above was checked")


class _Abort(Exception):
    """Raised when no further step makes sense."""


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
            raise _Abort(
                f"Velt refuses a notification in resolver mode ({_why(refusal)}). "
                "Do the organization and the document exist?"
            ) from None
        if added["registration"] != "registered":
            raise _Abort("Velt cannot be reached with the probe: it waited in the outbox")
        yield Finding(
            "ok", "live", f"Velt accepted {self.probe.id} in resolver mode; its content is sealed here"
        )

    def answers(self) -> Iterator[Finding]:
        lag = yield from velt_behaviour.stored(self.probe, self.stopped)
        if not self.stopped():
            yield from velt_behaviour.added_again(self.probe, lag)
        for ask in (
            velt_behaviour.updated,
            velt_behaviour.without_users,
            velt_behaviour.deleted_unknown,
        ):
            if not self.stopped():
                yield from ask(self.probe)
        if not self.stopped():
            yield from velt_behaviour.deleted_for_one(self.probe, lag)

    def blank(self) -> Iterator[Finding]:
        """Run last: it changes Velt's record."""
        yield from velt_behaviour.blanked(self.probe)

    def callback(self) -> Iterator[Finding]:
        """Read through the real application, in this process."""
        app = create_app(self.services.settings, self.services)
        organization, user = self.probe.organization, self.probe.user
        try:
            own = self._read(app, user, organization)
        except Unavailable as error:
            yield Finding("warn", "live", f"the callback was not checked. {error}")
            return
        yield self._own(own, user, organization)
        yield self._others("a user of another organization", self._read(app, user, f"{organization}-else"))
        if self.settings.read_policy == "recipient":
            yield self._others("another user of the organization", self._read(app, STRANGER, organization))

    def _read(self, app: Any, user: str, organization: str) -> Any:
        """Read the probe with a token of this user, and return the reply."""
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
        said = why.why if why else "it is not stored any more"
        # A minted token names no documents; a token of an identity provider may.
        by_claim = self.settings.read_policy == "document" and self.settings.permission is None
        outcome: Literal["warn", "fail"] = "warn" if by_claim else "fail"
        return Finding(outcome, "live", f"the callback does not give {user} the content: {said}")

    def _others(self, who: str, reply: Any) -> Finding:
        if words_in(reply):
            return Finding("fail", "live", f"THE CALLBACK GIVES THE CONTENT TO {who.upper()}")
        return Finding("ok", "live", f"the callback does not give it to {who}")


def _probe(services: Services, target: Target) -> Probe:
    who = Actor("ops", operator())

    def audit() -> AuditContext:
        return AuditContext(services.trail, "cli", "check live", "", who)

    return Probe(*target, services.add, services.delete, services.keyspace, audit)


def _announce(probe: Probe) -> None:
    say(
        f"Adding one notification at Velt: {probe.id}, in organization {probe.organization}, document "
        f"{probe.document}, from {ACTOR}, only to {probe.user}, then three rows without content: one to "
        f"{probe.user}, two that no reader matches. All are removed again.",
        err=True,
    )


def _removed(probe: Probe, left: Left) -> Finding:
    if left.nothing:
        return Finding("ok", "live", "the probe is removed, at Velt and here; the outbox is empty of it")
    here = {
        False: "its content is removed here",
        True: "ITS CONTENT IS STILL STORED HERE: it expires within a day",
        None: "Redis cannot be asked whether its content is removed: it expires within a day",
    }[left.held]
    if left.waiting:
        there = "its removal at Velt stays in the outbox; a worker sends it when Velt answers again"
    elif left.refused:
        there = "Velt accepted its removal, but refuses to list notifications"
        return Finding("warn", "live", f"{here}; {there}")
    else:
        there = {
            False: "Velt doesn't have it any more",
            True: "VELT STILL RETURNS IT",
            None: "Velt cannot be asked whether it is removed",
        }[left.at_velt]
    later = "A later --live removes it." if left.held or left.at_velt is not False else ""
    return Finding("fail", "live", f"{here}; {there} ({probe.id}). {later}".rstrip())


def _why(error: ResolverError) -> str:
    if isinstance(error, VeltRefused):
        return velt_behaviour.refusal(error)
    return str(getattr(error, "reason", "") or error)


@contextmanager
def _noted_signals() -> Iterator[Callable[[], bool]]:
    """Note signals instead of ending the process; yield a function that says whether one arrived."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            # The terminal may be closed already.
            with suppress(OSError):
                os.write(STDERR, b"\nStopping: removing the probe first.\n")

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
