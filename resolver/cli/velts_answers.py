"""How Velt answers where its documents don't say, one line each, and what that means for the resolver."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from resolver.cli.finding import Finding
from resolver.errors import VeltRefused
from resolver.notifications.probe import STRANGER, Probe, words_in
from resolver.velt.client import Endpoint

JSON = dict[str, Any]
_LONGEST_LAG = 15.0
_LOOK_SECONDS = 0.3
_AT_ONCE = 1.0
_DISPLAYED = "display"


def stored(probe: Probe, stopped: Callable[[], bool]) -> Generator[Finding, None, float]:
    """What Velt holds, shown; and what it is, in order of weight. Gives how many seconds its get lags."""
    began = time.monotonic()
    try:
        items = _seen(probe, stopped)
    except VeltRefused as error:
        yield _fail(
            f"Velt doesn't let its notifications be read ({refusal(error)}): switch on advanced queries in "
            "its console. What it holds of the probe could NOT be shown"
        )
        return 0
    if not items:
        if not stopped():
            yield _fail(f"Velt took the probe and doesn't give it back by id within {_LONGEST_LAG:.0f} s")
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


def _seen(probe: Probe, stopped: Callable[[], bool]) -> list[JSON]:
    gives_up_at = time.monotonic() + _LONGEST_LAG
    while not (items := _by_id(probe)) and time.monotonic() < gives_up_at and not stopped():
        time.sleep(_LOOK_SECONDS)
    return items


def _by_id(probe: Probe) -> list[JSON]:
    return probe.listed(documentId=probe.document, notificationIds=[probe.id])


def _privacy(item: JSON) -> Finding:
    if words := words_in(item):
        said = f"CONTENT REACHED VELT: its record holds {', '.join(words)}, which the probe sealed here"
        return Finding("fail", "live", said, _shown(item))
    said = "Velt holds ids alone, and none of the probe's words. This is its record:"
    return Finding("ok", "live", said, _shown(item))


def _shown(item: JSON) -> JSON:
    """Without the API key, which Velt puts into it."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return item
    return {**item, "metadata": {name: value for name, value in metadata.items() if name != "apiKey"}}


def _lag(seconds: float) -> Finding:
    if seconds > _AT_ONCE:
        return _warn(f"Velt's get lags {seconds:.1f} s behind: an add that isn't listed yet is not lost")
    return _ok("Velt's get shows an add at once")


def _of_its_own(item: JSON) -> Iterator[Finding]:
    """Words where none were sent."""
    if invented := sorted(name for name in item if name.startswith(_DISPLAYED)):
        yield _warn(
            f"Velt puts words of its own into {', '.join(invented)}: whoever gets no content is shown these"
        )
    else:
        yield _ok("Velt makes up no display fields: whoever gets no content is shown none")
    people = [item.get("actionUser"), *_list(item.get("notifyUsers"))]
    known = {name for person in people if isinstance(person, dict) for name in person if name != "userId"}
    if known:
        yield _warn(
            f"Velt's record says more of people than was sent ({', '.join(sorted(known))}): it knows that "
            "from elsewhere, such as identify()"
        )


def _source(item: JSON) -> Finding:
    source = item.get("notificationSource")
    if source == "custom":
        return _ok("Velt keeps notificationSource: the SDK asks for the content")
    if source is None:
        return _warn("Velt's get leaves notificationSource out: look in a browser that content is asked for")
    return _fail(f"Velt made it a notification of the source {source!r}: the SDK won't ask for its content")


def _flag(item: JSON) -> Finding:
    if item.get("isNotificationResolverUsed") is True:
        return _ok("Velt keeps isNotificationResolverUsed, and its get returns it")
    return _ok("Velt's get doesn't return isNotificationResolverUsed: nothing here depends on it")


def _form(probe: Probe, item: JSON) -> Finding:
    metadata = item.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    if (given.get("organizationId"), given.get("documentId")) == (probe.organization, probe.document):
        return _ok("Velt gives organization and document ids back as they were sent")
    return _warn(
        "Velt gives organization or document ids back in another form. Content is under the ones that you "
        "sent: look in a browser that these are what the callback is asked with"
    )


def _listed(probe: Probe) -> Iterator[Finding]:
    for by, finds in (("document", {"documentId": probe.document}), ("user", {"userId": probe.user})):
        found = _lists(probe, **finds)
        if found is True:
            yield _ok(f"Velt's get by {by} lists it")
        else:
            how = f"is refused ({found})" if found else "doesn't list it"
            yield _warn(f"Velt's get by {by} {how}: the mirror's get fares alike")
    if _lists(probe, userId=STRANGER, notificationIds=[probe.id]) is True:
        yield _warn(
            "Velt's get by user lists it for somebody whom it isn't addressed to: ids alone, for content is "
            "given out here"
        )
    else:
        yield _ok("Velt's get by user doesn't list it for others")


def _lists(probe: Probe, **by: Any) -> bool | str:
    """Whether it does; or the status that it refuses with."""
    try:
        return bool(probe.listed(**by))
    except VeltRefused as error:
        return error.status


def added_again(probe: Probe, lag: float) -> Iterator[Finding]:
    try:
        probe.added_again()
    except VeltRefused as error:
        if error.status == "ALREADY_EXISTS":
            yield _ok("a second add of an id is refused with ALREADY_EXISTS: a retry counts that as done")
        else:
            yield _fail(
                f"a second add of an id is refused ({refusal(error)}): retries after an outage are given up "
                "(resolver outbox dead)"
            )
        return
    count = _settled(probe, lag)
    if count is None:
        yield _warn("a second add of an id is taken; how many there are then could not be seen")
    elif count > 1:
        yield _warn(
            "a second add of an id makes a second notification: retries after an outage may show twice"
        )
    else:
        yield _ok("a second add of an id leaves one notification: retries after an outage show once")


def _settled(probe: Probe, lag: float) -> int | None:
    """How often it is there, once a get that lags has had time to see it."""
    try:
        time.sleep(_AT_ONCE + lag)
        return len(_by_id(probe)) or None
    except VeltRefused:
        return None


def updated(probe: Probe) -> Iterator[Finding]:
    known, unknown = (
        _outcome(probe, Endpoint.UPDATE, probe.id),
        _outcome(probe, Endpoint.UPDATE, probe.unknown),
    )
    if known == "true":
        yield _ok("Velt takes an update of read states by id")
    else:
        yield _warn(f"Velt doesn't say that it took an update of read states ({known})")
    if unknown == "true":
        yield _warn(
            "an update of an unknown id passes for done: read states of what Velt lost are lost unseen"
        )
    else:
        yield _ok(f"an update of an unknown id is reported ({unknown}), and passed on to your backend")


def without_users(probe: Probe) -> Iterator[Finding]:
    """Whether an add may leave `notifyUsers` out, or empty, when it is for everyone."""
    cases: tuple[tuple[str, str, JSON], ...] = (
        ("absent", "without notifyUsers", {}),
        ("empty", "with an empty notifyUsers", {"notifyUsers": []}),
    )
    for name, how, fields in cases:
        try:
            with probe.row(name, notifyAll=True, context=probe.unmatched, **fields):
                yield _ok(f"an add {how} is taken when notifyAll is true")
        except VeltRefused as error:
            yield _warn(
                f"an add {how} is refused ({refusal(error)}): name at least one person in notifyUsers, also "
                "with notifyAll"
            )


def blanked(probe: Probe) -> Iterator[Finding]:
    """Whether text that Velt holds can be blanked."""
    texts = {"displayHeadlineMessageTemplate": "", "displayBodyMessage": ""}
    try:
        data = probe.ask(Endpoint.UPDATE, notifications=[{"id": probe.id, **texts}]).get("data")
    except VeltRefused as error:
        yield _warn(
            f"an update with blank texts is refused ({refusal(error)}): text at Velt can't be blanked"
        )
        return
    said = data.get(probe.id) if isinstance(data, dict) else None
    if isinstance(said, dict) and said.get("success") is True:
        yield _ok("an update with blank texts is taken: text that Velt holds can be blanked")
    else:
        yield _warn("Velt doesn't say that it took an update with blank texts")


def deleted_for_one(probe: Probe, lag: float) -> Iterator[Finding]:
    """What a deletion with a `userId` filter leaves of a row that two people have."""
    people = [{"userId": probe.user}, {"userId": STRANGER}]
    try:
        with probe.row("copies", notifyAll=False, notifyUsers=people) as id_:
            time.sleep(lag)
            probe.ask(Endpoint.DELETE, notificationIds=[id_], userId=probe.user)
            time.sleep(lag)
            is_left = probe.is_listed(id_, documentId=probe.document)
    except VeltRefused as error:
        yield _warn(f"what a deletion with a userId leaves could not be seen ({refusal(error)})")
        return
    if is_left:
        yield _ok("a deletion with a userId leaves the notification to its other recipients, as it does here")
    else:
        yield _warn(
            "a deletion with a userId takes the notification from everyone at Velt; here it takes that "
            "person out, and the content stays for the others"
        )


def deleted_unknown(probe: Probe) -> Iterator[Finding]:
    yield _deletion("an unknown id", _outcome(probe, Endpoint.DELETE, probe.unknown))


def deleted_again(probe: Probe) -> Iterator[Finding]:
    yield _deletion("an id that was deleted before", _outcome(probe, Endpoint.DELETE, probe.id))


def _deletion(of: str, outcome: str) -> Finding:
    if outcome in ("true", "false", "unsaid", "NOT_FOUND"):
        return _ok(f"a deletion of {of} is answered ({outcome}): one that is told twice counts as done")
    return _warn(f"a deletion of {of} is refused ({outcome}): one that is told twice is given up, and listed")


def _outcome(probe: Probe, endpoint: Endpoint, id_: str) -> str:
    """`true` or `false` as Velt says of it, `unsaid`, or the status that it refuses with."""
    try:
        said = probe.outcome(endpoint, id_)
    except VeltRefused as error:
        return error.status
    return "unsaid" if said is None else str(said).lower()


def refusal(error: VeltRefused) -> str:
    """Velt's status and words, for a terminal."""
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
