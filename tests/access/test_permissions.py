"""The Permission Provider, real and right, slow, wrong-shaped or down: a no unless it said yes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from resolver.access.permissions import PermissionProvider, Question
from resolver.deadline import Deadline
from resolver.secret import Secret
from resolver.settings import PermissionSettings
from tests.servers import Service, running

JSON = dict[str, Any]


def question(document: str = "d-1", user: str = "ben", **access: Any) -> Question:
    return Question.of(user, "acme", document, access)


def answering(*documents: str, **changes: Any) -> Any:
    """A provider that lets people see these documents."""

    def answer(asked: JSON) -> JSON:
        return {
            "data": [
                {
                    "userId": request["userId"],
                    "resourceId": request["resource"]["id"],
                    "type": request["resource"]["type"],
                    "organizationId": request["resource"]["organizationId"],
                    "hasAccess": request["resource"]["id"] in documents,
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
    return PermissionProvider(PermissionSettings(service.url, Secret.of("permission-token")), 4)


def soon() -> Deadline:
    return Deadline.after(2)


def later(seconds: float) -> int:
    return int((time.time() + seconds) * 1000)


def test_it_is_asked_as_velt_asks_it(service: Service, provider: PermissionProvider) -> None:
    assert provider.granted({question()}, soon()) == {question()}
    resource = {"id": "d-1", "type": "document", "source": "getNotifications", "organizationId": "acme"}
    assert service.requests == [{"data": {"requests": [{"userId": "ben", "resource": resource}]}}]
    assert service.headers[0]["authorization"] == "Bearer permission-token"


def test_only_what_it_said_yes_to_is_granted(provider: PermissionProvider) -> None:
    asked = {question(f"d-{n}") for n in range(5)}
    assert provider.granted(asked, soon()) == {question("d-1"), question("d-3")}


def test_a_context_goes_along_and_is_asked_about_on_its_own(
    service: Service, provider: PermissionProvider
) -> None:
    plain, red, blue = question(), question(team="red"), question(team="blue")
    service.body = lambda asked: answering(
        *(r["resource"]["id"] for r in asked["data"]["requests"] if _team(r) != "blue")
    )(asked)
    assert provider.granted({plain, red, blue}, soon()) == {plain, red}
    teams = [[_team(request) for request in body["data"]["requests"]] for body in service.requests]
    assert sorted(map(len, teams)) == [1, 1, 1], "one answer could not be told from the other"


def _team(request: JSON) -> Any:
    return request["resource"].get("context", {}).get("access", {}).get("team")


@pytest.mark.parametrize("access", [True, False])
def test_an_answer_is_remembered_until_it_expires(
    service: Service, provider: PermissionProvider, access: bool
) -> None:
    service.body = answering(*(["d-1"] if access else []), expiresAt=later(0.6))
    granted = {question()} if access else set()
    for _ in range(3):
        assert provider.granted({question()}, soon()) == granted
    assert len(service.requests) == 1
    time.sleep(0.7)
    provider.granted({question()}, soon())
    assert len(service.requests) == 2


@pytest.mark.parametrize("expires", [None, "2030-01-01", True, 4_102_444_800, -1])
def test_an_answer_that_names_no_time_to_come_in_milliseconds_is_not_remembered(
    service: Service, provider: PermissionProvider, expires: Any
) -> None:
    service.body = answering("d-1", expiresAt=expires)
    for _ in range(2):
        assert provider.granted({question()}, soon()) == {question()}
    assert len(service.requests) == 2


def test_what_was_remembered_of_one_person_says_nothing_of_another(
    service: Service, provider: PermissionProvider
) -> None:
    service.body = answering("d-1", expiresAt=later(60))
    provider.granted({question()}, soon())
    service.body = answering(expiresAt=later(60))
    for other in (question(user="zoe"), Question.of("ben", "zeta", "d-1", {}), question(team="red")):
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
def test_a_yes_in_another_shape_is_none(service: Service, provider: PermissionProvider, body: Any) -> None:
    service.body = body
    assert provider.granted({question()}, soon()) == set()
    service.body = answering("d-1")
    assert provider.granted({question()}, soon()) == {question()}, "and nothing of it is remembered"


@pytest.mark.parametrize("status", [201, 302, 400, 401, 404, 429, 500, 503])
def test_only_a_success_can_be_a_yes(service: Service, provider: PermissionProvider, status: int) -> None:
    service.status = status
    assert provider.granted({question()}, soon()) == ({question()} if status == 201 else set())


def test_a_slow_provider_is_waited_for_within_the_deadline_and_what_is_known_stands(
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


def test_a_provider_that_keeps_silent_is_asked_by_one_caller_alone(
    service: Service, provider: PermissionProvider
) -> None:
    service.delay = 2
    for _ in range(3):
        provider.granted({question()}, Deadline.after(0.7))
    probe = threading.Thread(target=provider.granted, args=({question()}, Deadline.after(0.7)))
    probe.start()
    time.sleep(0.05)
    started = time.monotonic()
    provider.granted({question()}, Deadline.after(2))
    assert time.monotonic() - started < 0.1
    probe.join()
    service.delay = 0
    time.sleep(0.6)
    assert provider.granted({question()}, soon()) == {question()}


def test_whoever_asks_about_too_much_runs_out_of_time_alone(
    service: Service, provider: PermissionProvider
) -> None:
    service.delay = 0.3
    service.body = answering("d-1", *(f"doc-{n}" for n in range(1000)))
    for n in range(4):
        many = {question(f"doc-{number}", user=f"heavy-{n}") for number in range(1000)}
        assert 0 < len(provider.granted(many, soon())) < 1000
        assert provider.granted({question(user=f"light-{n}")}, soon()), "the others are asked about"


def test_a_provider_that_is_down_says_no(provider: PermissionProvider) -> None:
    down = PermissionProvider(PermissionSettings("http://127.0.0.1:1/", None), 1)
    assert down.granted({question()}, soon()) == set()


def test_a_thousand_documents_are_asked_about_in_bounded_calls(
    service: Service, provider: PermissionProvider
) -> None:
    asked = {question(f"doc-{n}") for n in range(1000)}
    service.body = answering(*(f"doc-{n}" for n in range(0, 1000, 2)))
    assert len(provider.granted(asked, soon())) == 500
    assert max(len(body["data"]["requests"]) for body in service.requests) == 100
