"""Client of the team's Permission Provider, in Velt's protocol: one request for each resource.

    POST {data: {requests: [{userId, resource: {id, type, source, organizationId, …}}]}}
      -> {data: [{userId, resourceId, type, organizationId, hasAccess, expiresAt?}], success: true}

A resource is a document (`type` is `document`, with its `parentFolderId` when that is known) or one field of
`context.access` (`type` is `context`, and the id is the JSON of that field: `{"widgetId":1}`). A provider
judges each by its type, so a context says nothing inside a request about a document. The answers may also
stand under `data.results`.

Access is granted only by an answer that names all four values of the question and says `true`. No answer, an
error, or another shape denies it for now and is not cached. An answer is cached until its `expiresAt` (epoch
milliseconds).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self, cast

import orjson
import structlog

from resolver.auth.ttl_cache import TTLCache
from resolver.circuit_breaker import CircuitBreaker
from resolver.config import OutboundSettings, PermissionSettings
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.http_client import HttpClient
from resolver.validation.json_limits import is_too_deep

JSON = dict[str, Any]
LONGEST_SECONDS = 1.0
"""Time limit for all questions of a request together; its deadline may be sooner."""
_RESERVE_SECONDS = 0.2
_MAX_PER_CALL = 100
_MAX_ANSWERS_PER_QUESTION = 4
_LARGEST_ANSWER = 256 * 1024
_MIN_SECONDS = 0.4
"""A call with less time than this that times out doesn't count as a failure of the provider."""
_CACHE_SIZE, _CACHE_SECONDS = 10_000, 300.0
_SOURCE = "getNotifications"
_SUBJECT = ("userId", "resourceId", "type", "organizationId")
_LARGEST_EXACT = 2**53
_log = structlog.get_logger(__name__)


class Question(NamedTuple):
    """Whether one person has access to one resource."""

    user: str
    organization: str
    type: Literal["document", "context"]
    resource: str
    """The document's id, or the JSON of one field of a context."""
    folder: str = ""
    """The document's folder, if known."""

    @classmethod
    def about_document(cls, user: str, organization: str, document: str, folder: str = "") -> Self:
        return cls(user, organization, "document", document, folder)

    @classmethod
    def about_context(cls, user: str, organization: str, field: str, value: Any) -> Self:
        return cls(user, organization, "context", orjson.dumps({field: _as_in_javascript(value)}).decode())

    def as_request(self) -> JSON:
        resource: JSON = {
            "id": self.resource,
            "type": self.type,
            "source": _SOURCE,
            "organizationId": self.organization,
        }
        if self.type == "context":
            resource["context"] = {"access": orjson.loads(self.resource)}
        elif self.folder:
            resource["parentFolderId"] = self.folder
        return {"userId": self.user, "resource": resource}

    def subject(self) -> tuple[str, ...]:
        """What an answer must name, in the order of `_SUBJECT`."""
        return self.user, self.resource, self.type, self.organization


def _as_in_javascript(value: Any) -> Any:
    """JavaScript, and so the ids that Velt sends, writes 1.0 as `1`."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT
    return int(value) if is_whole else value


class PermissionProvider:
    def __init__(
        self,
        settings: PermissionSettings,
        connections: int,
        outbound: OutboundSettings,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        token = {"authorization": f"Bearer {settings.token.reveal()}"} if settings.token else {}
        self._http = HttpClient(
            settings.url,
            {"content-type": "application/json", **token},
            connections=connections,
            largest_answer=_LARGEST_ANSWER,
            outbound=outbound,
        )
        self._breaker = breaker or CircuitBreaker.for_waiting_callers("permission_provider")
        self._known = TTLCache[Question, bool](_CACHE_SIZE, _CACHE_SECONDS)

    def granted(self, questions: Collection[Question], deadline: Deadline) -> set[Question]:
        """Return the questions whose access is granted, by the cache or the provider."""
        known = {question: self._known.get(question) for question in questions}
        granted = {question for question, yes in known.items() if yes}
        unknown = [question for question, yes in known.items() if yes is None]
        until = deadline.reserve(_RESERVE_SECONDS).at_most(LONGEST_SECONDS)
        try:
            for batch in _batches(unknown):
                granted |= self._request(batch, until)
        except ServiceUnreachable as error:
            # The other batches are not sent: they would probably fail as well, after more time.
            _log.warning("permission_provider_unavailable", reason=error.reason)
        return granted

    def _request(self, batch: list[Question], until: Deadline) -> set[Question]:
        # An answer doesn't repeat the folder, so questions that differ only in it are sent once.
        asked = {question.subject(): question for question in batch}
        body = self._call([question.as_request() for question in asked.values()], until)
        answers = _answers(body, most=_MAX_ANSWERS_PER_QUESTION * len(asked))
        granted = set()
        for subject, question in asked.items():
            found = answers.get(subject, [])
            verdicts = [answer.get("hasAccess") for answer in found]
            if verdicts and all(isinstance(yes, bool) for yes in verdicts):
                # Contradictory answers deny access.
                self._known.put(question, all(verdicts), min(map(_expires, found)))
                granted |= {question} if all(verdicts) else set()
        return granted

    def _call(self, requests: list[JSON], until: Deadline) -> bytes:
        seconds = until.remaining()
        if seconds <= 0 or not self._breaker.allow():
            raise ServiceUnreachable("no time left, or not answering")
        body = orjson.dumps({"data": {"requests": requests}})
        try:
            answer = self._http.call("POST", until, body)
        except ServiceUnreachable:
            if seconds >= _MIN_SECONDS:
                self._breaker.failure()
            raise
        self._breaker.success()
        if not 200 <= answer.status < 300:
            raise ServiceUnreachable(f"HTTP {answer.status}")
        return answer.body


def _batches(questions: list[Question]) -> Iterator[list[Question]]:
    for start in range(0, len(questions), _MAX_PER_CALL):
        yield questions[start : start + _MAX_PER_CALL]


def _answers(body: bytes, most: int) -> Mapping[tuple[str, ...], list[JSON]]:
    """Group answers by subject. Raises ServiceUnreachable for another shape, or far more than were
    requested."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ServiceUnreachable("not JSON") from None
    given = parsed.get("data") if isinstance(parsed, dict) and parsed.get("success") is not False else None
    if isinstance(given, dict):
        given = given.get("results")
    if not isinstance(given, list) or len(given) > most or is_too_deep(parsed):
        raise ServiceUnreachable("another shape")
    answers: dict[tuple[str, ...], list[JSON]] = {}
    for answer in given:
        subject = tuple(answer.get(name) for name in _SUBJECT) if isinstance(answer, dict) else ()
        if subject and all(isinstance(part, str) for part in subject):
            answers.setdefault(cast(tuple[str, ...], subject), []).append(answer)
    return answers


def _expires(answer: JSON) -> float:
    """Expiry in epoch seconds; 0 without one, so that the answer isn't cached."""
    milliseconds = answer.get("expiresAt")
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return 0.0
    return milliseconds / 1000
