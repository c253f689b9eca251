"""A Permission Provider that is right, slow, malformed or down: access is denied unless it is granted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from resolver.auth.permission_provider import PermissionProvider, Question
from resolver.circuit_breaker import FIRST_SECONDS, CircuitBreaker
from resolver.config import DIRECT, PermissionSettings
from resolver.config.secret import Secret
from resolver.deadline import Deadline
from tests.clocks import Clock
from tests.servers import Service, running
from tests.waiting import until

JSON = dict[str, Any]


def question(document: str = "d-1", user: str = "ben", folder: str = "") -> Question:
    return Question.about_document(user, "acme", document, folder)


def context(field: str, value: Any, user: str = "ben") -> Question:
    return Question.about_context(user, "acme", field, value)


def answering(*documents: str, contexts: JSON | None = None, **changes: Any) -> Any:
    """A provider built as Velt's own sample is: it judges each request by its type, grants these documents by
    their ids in requests of type `document`, where it ignores any context, and these values of fields in
    requests of type `context`."""

    def grants(resource: JSON) -> bool:
        match resource["type"]:
            case "document":
                return resource["id"] in documents
            case "context":
                fields = resource["context"]["access"].items()
                return all((contexts or {}).get(field) == value for field, value in fields)
            case _:
                return False

    def answer(asked: JSON) -> JSON:
        return {
            "data": [
                {
                    "userId": request["userId"],
                    "resourceId": request["resource"]["id"],
                    "type": request["resource"]["type"],
                    "organizationId": request["resource"]["organizationId"],
                    "hasAccess": grants(request["resource"]),
                    **changes,
                }
                for request in asked["data"]["requests"]
            ],
            "success": True,
            "statusCode": 200,
        }

    return answer


@pytest.fixture
def service() -> Iterator[Service]:
    with running(Service(body=answering("d-1", "d-3"))) as service:
        yield service


@pytest.fixture
def provider(service: Service) -> PermissionProvider:
    return PermissionProvider(PermissionSettings(service.url, Secret.of("permission-token")), 4, DIRECT)


def soon() -> Deadline:
    return Deadline.after(2)


def later(seconds: float) -> int:
    return int((time.time() + seconds) * 1000)


def test_provider_gets_requests_in_velts_form(service: Service, provider: PermissionProvider) -> None:
    assert provider.granted({question()}, soon()) == {question()}
    resource = {"id": "d-1", "type": "document", "source": "getNotifications", "organizationId": "acme"}
    assert service.requests == [{"data": {"requests": [{"userId": "ben", "resource": resource}]}}]
    assert service.headers[0]["authorization"] == "Bearer permission-token"


def test_only_questions_answered_with_true_are_granted(provider: PermissionProvider) -> None:
    asked = {question(f"d-{n}") for n in range(5)}
    assert provider.granted(asked, soon()) == {question("d-1"), question("d-3")}


def test_each_field_of_a_context_is_a_request_of_type_context(
    service: Service, provider: PermissionProvider
) -> None:
    """As in Velt's documents: the id is the compact JSON of that field alone."""
    service.body = answering("d-1", contexts={"widgetId": 1})
    asked = [question(), context("widgetId", 1), context("team", "blue & more")]
    assert provider.granted(asked, soon()) == {question(), context("widgetId", 1)}
    common = {"source": "getNotifications", "organizationId": "acme"}
    resources = [
        {"id": "d-1", "type": "document", **common},
        {"id": '{"widgetId":1}', "type": "context", **common, "context": {"access": {"widgetId": 1}}},
        {
            "id": '{"team":"blue & more"}',
            "type": "context",
            **common,
            "context": {"access": {"team": "blue & more"}},
        },
    ]
    sent = [{"userId": "ben", "resource": resource} for resource in resources]
    assert service.requests == [{"data": {"requests": sent}}]


@pytest.mark.parametrize(
    ("value", "id_"), [(1.0, '{"f":1}'), (1.5, '{"f":1.5}'), ("1", '{"f":"1"}'), ("é", '{"f":"é"}')]
)
def test_the_id_of_a_context_is_spelt_as_in_javascript(value: Any, id_: str) -> None:
    assert context("f", value).resource == id_


def test_grant_of_a_document_is_no_grant_of_its_context(
    service: Service, provider: PermissionProvider
) -> None:
    service.body = answering("d-1", '{"team":"red"}')
    assert provider.granted([question(), context("team", "red")], soon()) == {question()}


def test_known_folder_is_sent(service: Service, provider: PermissionProvider) -> None:
    provider.granted([question(folder="f-1"), question("d-3")], soon())
    folders = [
        request["resource"].get("parentFolderId") for request in service.requests[0]["data"]["requests"]
    ]
    assert folders == ["f-1", None]


def test_one_folder_of_a_document_is_sent_when_there_are_two(
    service: Service, provider: PermissionProvider
) -> None:
    """The answer to one could not be told from the answer to the other."""
    granted = provider.granted([question(folder="f-1"), question(folder="f-2")], soon())
    assert len(granted) == 1
    assert len(service.requests[0]["data"]["requests"]) == 1


def test_answers_may_stand_under_results(service: Service, provider: PermissionProvider) -> None:
    """As the changelog of Velt's SDK 6.0.1 has it."""

    def answer(asked: JSON) -> JSON:
        found = answering("d-1")(asked)
        return {**found, "data": {"results": found["data"]}}

    service.body = answer
    assert provider.granted([question(), question("d-2")], soon()) == {question()}


@pytest.mark.parametrize("access", [True, False])
def test_answer_is_cached_until_it_expires(
    service: Service, provider: PermissionProvider, access: bool
) -> None:
    service.body = answering(*(["d-1"] if access else []), expiresAt=later(60))
    granted = {question()} if access else set()
    for _ in range(3):
        assert provider.granted({question()}, soon()) == granted
    with time_machine.travel(timedelta(seconds=58)):
        assert provider.granted({question()}, soon()) == granted
    assert len(service.requests) == 1
    with time_machine.travel(timedelta(seconds=61)):
        provider.granted({question()}, soon())
    assert len(service.requests) == 2


@pytest.mark.parametrize("expires", [None, "2030-01-01", True, 4_102_444_800, -1])
def test_answer_without_a_future_expiry_is_not_cached(
    service: Service, provider: PermissionProvider, expires: Any
) -> None:
    service.body = answering("d-1", expiresAt=expires)
    for _ in range(2):
        assert provider.granted({question()}, soon()) == {question()}
    assert len(service.requests) == 2


def test_cached_answer_counts_only_for_its_person(service: Service, provider: PermissionProvider) -> None:
    service.body = answering("d-1", expiresAt=later(60))
    provider.granted({question()}, soon())
    service.body = answering(expiresAt=later(60))
    elsewhere = Question.about_document("ben", "zeta", "d-1")
    for other in (question(user="zoe"), elsewhere, question(folder="f-1"), context("team", "red")):
        assert provider.granted({other}, soon()) == set()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"data": {}}',
        b'{"data": {"results": {}}}',
        b'{"data": {"results": [null]}}',
        b'{"data": [null, 7, []]}',
        b'{"data": [{"hasAccess": true}]}',
        answering("d-1", hasAccess="true"),
        answering("d-1", hasAccess=1),
        answering("d-1", hasAccess=None),
        answering("d-1", userId="zoe"),
        answering("d-1", organizationId="zeta"),
        answering("d-1", organizationId=None),
        answering("d-1", type="folder"),
        answering("d-1", resourceId=["d-1"]),
        lambda asked: {**answering("d-1")(asked), "success": False},
        lambda asked: {"data": [*answering("d-1")(asked)["data"], *answering()(asked)["data"]]},
        b'{"data": ' + b"[" * 100 + b"]" * 100 + b"}",
        b" " * 2_000_000,
        b'{"data": [' + b"{}," * 80_000 + b"{}]}",
    ],
)
def test_answer_of_another_shape_grants_nothing(
    service: Service, provider: PermissionProvider, body: Any
) -> None:
    service.body = body
    assert provider.granted({question()}, soon()) == set()
    service.body = answering("d-1")
    assert provider.granted({question()}, soon()) == {question()}, "and nothing of it is remembered"


@pytest.mark.parametrize("status", [201, 302, 400, 401, 404, 429, 500, 503])
def test_unsuccessful_response_grants_nothing(
    service: Service, provider: PermissionProvider, status: int
) -> None:
    service.status = status
    assert provider.granted({question()}, soon()) == ({question()} if status == 201 else set())


def test_slow_provider_is_awaited_within_the_deadline_and_cached_grants_count(
    service: Service, provider: PermissionProvider
) -> None:
    service.body = answering("d-1", "d-3", expiresAt=later(60))
    provider.granted({question("d-1")}, soon())
    service.delay = 3
    started = time.monotonic()
    assert provider.granted({question("d-1"), question("d-3")}, soon()) == {question("d-1")}
    assert time.monotonic() - started < 1.5
    started = time.monotonic()
    assert provider.granted({question("d-3")}, Deadline.after(0.5)) == set()
    assert time.monotonic() - started < 0.5


def test_silent_provider_gets_one_probe_at_a_time(service: Service) -> None:
    clock = Clock()
    breaker = CircuitBreaker.for_waiting_callers("permission_provider", clock)
    provider = PermissionProvider(PermissionSettings(service.url, None), 4, DIRECT, breaker)
    service.delay = 2
    for _ in range(3):
        provider.granted({question()}, Deadline.after(0.7))
    clock.now += FIRST_SECONDS
    probe = threading.Thread(target=provider.granted, args=({question()}, Deadline.after(0.7)))
    probe.start()
    until(lambda: len(service.requests) == 4, "the probe is under way")
    started = time.monotonic()
    provider.granted({question()}, Deadline.after(2))
    assert time.monotonic() - started < 0.1
    probe.join()
    assert len(service.requests) == 4
    service.delay = 0
    clock.now += FIRST_SECONDS
    assert provider.granted({question()}, soon()) == {question()}


def test_caller_with_too_many_questions_does_not_open_the_circuit_breaker(
    service: Service, provider: PermissionProvider
) -> None:
    service.delay = 0.3
    service.body = answering("d-1", *(f"doc-{n}" for n in range(1000)))
    for n in range(4):
        many = {question(f"doc-{number}", user=f"heavy-{n}") for number in range(1000)}
        assert 0 < len(provider.granted(many, soon())) < 1000
        assert provider.granted({question(user=f"light-{n}")}, soon()), "the others are asked about"


def test_provider_that_is_down_grants_nothing(provider: PermissionProvider) -> None:
    down = PermissionProvider(PermissionSettings("http://127.0.0.1:1/", None), 1, DIRECT)
    assert down.granted({question()}, soon()) == set()


def test_a_thousand_documents_are_asked_about_in_bounded_calls(
    service: Service, provider: PermissionProvider
) -> None:
    asked = {question(f"doc-{n}") for n in range(1000)}
    service.body = answering(*(f"doc-{n}" for n in range(0, 1000, 2)))
    assert len(provider.granted(asked, soon())) == 500
    assert max(len(body["data"]["requests"]) for body in service.requests) == 100
