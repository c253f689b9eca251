"""Findings on how Velt behaves where its documentation says nothing, and what that means for the resolver."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from resolver.cli.finding import Finding
from resolver.errors import VeltRefused
from resolver.notifications.probe import STRANGER, Probe, words_in
from resolver.velt.client import VeltEndpoint

JSON = dict[str, Any]
_LONGEST_LAG = 15.0
_POLL_SECONDS = 0.3
_AT_ONCE = 1.0
_DISPLAYED = "display"


def stored(probe: Probe, stopped: Callable[[], bool]) -> Generator[Finding, None, float]:
    """Show Velt's record of the probe, and judge it, gravest first. Return how many seconds Velt's get
    lags."""
    began = time.monotonic()
    try:
        items = _wait_for_probe(probe, stopped)
    except VeltRefused as error:
        yield _fail(
            f"Velt refuses to list its notifications ({refusal(error)}): switch on advanced queries in its "
            "console. What it holds of the probe could NOT be shown"
        )
        return 0
    if not items:
        if not stopped():
            yield _fail(f"Velt accepted the probe, but doesn't return it by id within {_LONGEST_LAG:.0f} s")
        return 0
    lag, item = time.monotonic() - began, items[0]
    yield _privacy(item)
    yield _lag(lag)
    yield from _of_its_own(item)
    yield _source(item)
    yield _flag(item)
    yield _form(probe, item)
    yield from _listed(probe)
    return lag


def _wait_for_probe(probe: Probe, stopped: Callable[[], bool]) -> list[JSON]:
    until = time.monotonic() + _LONGEST_LAG
    while not (items := _by_id(probe)) and time.monotonic() < until and not stopped():
        time.sleep(_POLL_SECONDS)
    return items


def _by_id(probe: Probe) -> list[JSON]:
    return probe.listed(documentId=probe.document, notificationIds=[probe.id])


def _privacy(item: JSON) -> Finding:
    if words := words_in(item):
        said = f"CONTENT REACHED VELT: its record holds {', '.join(words)}, which must stay here"
        return Finding("fail", "live", said, _shown(item))
    said = "Velt holds only ids, and none of the probe's content. This is its record:"
    return Finding("ok", "live", said, _shown(item))


def _shown(item: JSON) -> JSON:
    """Remove the API key, which Velt puts into the record."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return item
    return {**item, "metadata": {name: value for name, value in metadata.items() if name != "apiKey"}}


def _lag(seconds: float) -> Finding:
    if seconds > _AT_ONCE:
        return _warn(f"Velt's get lags {seconds:.1f} s behind: an add that isn't listed yet is not lost")
    return _ok("Velt's get shows an add at once")


def _of_its_own(item: JSON) -> Iterator[Finding]:
    """Report texts that were not sent."""
    if invented := sorted(name for name in item if name.startswith(_DISPLAYED)):
        yield _warn(
            f"Velt fills {', '.join(invented)} with texts of its own: users who get no content see these"
        )
    else:
        yield _ok("Velt adds no display fields: users who get no content see none")
    people = [item.get("actionUser"), *_list(item.get("notifyUsers"))]
    known = {name for person in people if isinstance(person, dict) for name in person if name != "userId"}
    if known:
        yield _warn(
            f"Velt's record has more about people than was sent ({', '.join(sorted(known))}): it has that "
            f"from "
            "elsewhere, such as identify()"
        )


def _source(item: JSON) -> Finding:
    source = item.get("notificationSource")
    if source == "custom":
        return _ok("Velt keeps notificationSource: the SDK asks for the content")
    if source is None:
        return _warn("Velt's get omits notificationSource: check in a browser that the SDK asks for content")
    return _fail(f"Velt changed notificationSource to {source!r}: the SDK won't ask for the content")


def _flag(item: JSON) -> Finding:
    if item.get("isNotificationResolverUsed") is True:
        return _ok("Velt keeps isNotificationResolverUsed, and its get returns it")
    return _ok("Velt's get doesn't return isNotificationResolverUsed: nothing here depends on it")


def _form(probe: Probe, item: JSON) -> Finding:
    metadata = item.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    if (given.get("organizationId"), given.get("documentId")) == (probe.organization, probe.document):
        return _ok("Velt returns organization and document ids as they were sent")
    return _warn(
        "Velt returns organization or document ids in another form. Content is stored under the ids that you "
        "sent: check in a browser that the SDK calls with these"
    )


def _listed(probe: Probe) -> Iterator[Finding]:
    for by, finds in (("document", {"documentId": probe.document}), ("user", {"userId": probe.user})):
        found = _lists(probe, **finds)
        if found is True:
            yield _ok(f"Velt's get by {by} lists it")
        else:
            how = f"is refused ({found})" if found else "doesn't list it"
            yield _warn(f"Velt's get by {by} {how}: nor does the resolver's own get")
    if _lists(probe, userId=STRANGER, notificationIds=[probe.id]) is True:
        yield _warn(
            "Velt's get by user lists it for users whom it isn't addressed to: they see only ids, since this "
            "service checks readers of content"
        )
    else:
        yield _ok("Velt's get by user doesn't list it for others")


def _lists(probe: Probe, **by: Any) -> bool | str:
    """Whether Velt's get finds the probe; or the status of its refusal."""
    try:
        return bool(probe.listed(**by))
    except VeltRefused as error:
        return error.status


def added_again(probe: Probe, lag: float) -> Iterator[Finding]:
    try:
        probe.added_again()
    except VeltRefused as error:
        if error.status == "ALREADY_EXISTS":
            yield _ok("a second add of an id is refused with ALREADY_EXISTS: a retry takes that as success")
        else:
            yield _fail(
                f"a second add of an id is refused ({refusal(error)}): retries after an outage become dead "
                "letters (resolver outbox dead)"
            )
        return
    count = _settled(probe, lag)
    if count is None:
        yield _warn("a second add of an id is accepted; how many notifications result could not be seen")
    elif count > 1:
        yield _warn(
            "a second add of an id makes a second notification: retries after an outage may show twice"
        )
    else:
        yield _ok("a second add of an id leaves one notification: retries after an outage show once")


def _settled(probe: Probe, lag: float) -> int | None:
    """Count the notifications with the id, after waiting for a lagging get; None if unknown."""
    try:
        time.sleep(_AT_ONCE + lag)
        return len(_by_id(probe)) or None
    except VeltRefused:
        return None


def updated(probe: Probe) -> Iterator[Finding]:
    known, unknown = (
        _outcome(probe, VeltEndpoint.UPDATE, probe.id),
        _outcome(probe, VeltEndpoint.UPDATE, probe.unknown),
    )
    if known == "true":
        yield _ok("Velt accepts an update of read states by id")
    else:
        yield _warn(f"Velt doesn't confirm an update of read states ({known})")
    if unknown == "true":
        yield _warn(
            "an update of an unknown id is confirmed: if Velt loses a notification, its read states are lost "
            "without notice"
        )
    else:
        yield _ok(f"an update of an unknown id is reported ({unknown}), and passed on to your backend")


def without_users(probe: Probe) -> Iterator[Finding]:
    """Check whether an add for everyone may omit `notifyUsers`, or leave it empty."""
    cases: tuple[tuple[str, str, JSON], ...] = (
        ("absent", "without notifyUsers", {}),
        ("empty", "with an empty notifyUsers", {"notifyUsers": []}),
    )
    for name, how, fields in cases:
        try:
            with probe.row(name, notifyAll=True, context=probe.unmatched, **fields):
                yield _ok(f"an add {how} is accepted when notifyAll is true")
        except VeltRefused as error:
            yield _warn(
                f"an add {how} is refused ({refusal(error)}): name at least one person in notifyUsers, also "
                "with notifyAll"
            )


def blanked(probe: Probe) -> Iterator[Finding]:
    """Check whether text at Velt can be blanked."""
    texts = {"displayHeadlineMessageTemplate": "", "displayBodyMessage": ""}
    try:
        data = probe.ask(VeltEndpoint.UPDATE, notifications=[{"id": probe.id, **texts}]).get("data")
    except VeltRefused as error:
        yield _warn(
            f"an update with blank texts is refused ({refusal(error)}): text at Velt can't be blanked"
        )
        return
    said = data.get(probe.id) if isinstance(data, dict) else None
    if isinstance(said, dict) and said.get("success") is True:
        yield _ok("an update with blank texts is accepted: text at Velt can be blanked")
    else:
        yield _warn("Velt doesn't confirm an update with blank texts")


def deleted_for_one(probe: Probe, lag: float) -> Iterator[Finding]:
    """Check what a deletion with a `userId` filter leaves of a row with two recipients."""
    people = [{"userId": probe.user}, {"userId": STRANGER}]
    try:
        with probe.row("copies", notifyAll=False, notifyUsers=people) as id_:
            time.sleep(lag)
            probe.ask(VeltEndpoint.DELETE, notificationIds=[id_], userId=probe.user)
            time.sleep(lag)
            is_left = probe.is_listed(id_, documentId=probe.document)
    except VeltRefused as error:
        yield _warn(f"the effect of a deletion with a userId could not be seen ({refusal(error)})")
        return
    if is_left:
        yield _ok("a deletion with a userId leaves the notification to its other recipients, as it does here")
    else:
        yield _warn(
            "a deletion with a userId removes the notification for everyone at Velt; here it removes it only "
            "for that user, and the content stays for the others"
        )


def deleted_unknown(probe: Probe) -> Iterator[Finding]:
    yield _deletion("an unknown id", _outcome(probe, VeltEndpoint.DELETE, probe.unknown))


def deleted_again(probe: Probe) -> Iterator[Finding]:
    yield _deletion("an id that was deleted before", _outcome(probe, VeltEndpoint.DELETE, probe.id))


def _deletion(of: str, outcome: str) -> Finding:
    if outcome in ("true", "false", "unsaid", "NOT_FOUND"):
        return _ok(f"a deletion of {of} is answered ({outcome}): a repeated deletion counts as done")
    return _warn(f"a deletion of {of} is refused ({outcome}): a repeated deletion becomes a dead letter")


def _outcome(probe: Probe, endpoint: VeltEndpoint, id_: str) -> str:
    """Return `true` or `false` as Velt answers, `unsaid`, or the status of its refusal."""
    try:
        said = probe.outcome(endpoint, id_)
    except VeltRefused as error:
        return error.status
    return "unsaid" if said is None else str(said).lower()


def refusal(error: VeltRefused) -> str:
    """Format Velt's status and message for a terminal."""
    about = error.payload.get("error")
    words = str(about.get("message", "")) if isinstance(about, dict) else ""
    shown = "".join(letter for letter in words[:200] if letter.isprintable())
    return f"{error.status[:40]}: {shown}" if shown else error.status[:40]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _ok(text: str) -> Finding:
    return Finding("ok", "live", text)


def _warn(text: str) -> Finding:
    return Finding("warn", "live", text)


def _fail(text: str) -> Finding:
    return Finding("fail", "live", text)
