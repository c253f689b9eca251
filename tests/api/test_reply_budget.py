"""Replies and the byte budget of their process: what they hold, for how long, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

import orjson
import pytest

from resolver.ops.reply_budget import SMALL_REPLY
from tests.support import BACKEND, Api, Velt, error_of, figures_in

MIB = 1024 * 1024
TEXT = "CANARY " * 4000
IDS = [f"n-{n}" for n in range(20)]
GET = "/api/velt/notifications/get"
MIRROR = {"organizationId": "acme", "documentId": "doc-1"}
ASKED = {"organizationId": "acme", "notificationIds": IDS}


def held(api: Api) -> int:
    return api.services.replies.small.held + api.services.replies.large.held


def fill(api: Api) -> None:
    """Fill both pools, as replies to other people do."""
    budget = api.services.replies
    for pool, most, own in ((budget.small, 16, 4), (budget.large, 64, 32)):
        for person in range(most // own):
            assert pool.take(person, own * MIB)


@pytest.fixture
def large(api: Api) -> Api:
    """A resolver with more to read than fits into a small reply."""
    for id_ in IDS:
        assert api.add(notificationId=id_, displayBodyMessage=TEXT).status_code == 200
    assert len(TEXT) * len(IDS) > SMALL_REPLY
    return api


def call(api: Api, body: Any, start: StartResponse) -> Any:
    """Return the iterable that the application gives to its server."""
    app, headers = api.client.application, {"content-type": "application/json", **BACKEND}
    context = app.test_request_context(GET, method="POST", data=orjson.dumps(body), headers=headers)
    return app.wsgi_app(context.request.environ, start)


def start_response(*_args: Any) -> Any:
    """A server's `start_response` that accepts anything."""


def test_large_reply_is_whole_and_says_its_length(large: Api) -> None:
    reply = large.post(GET, ASKED)
    assert reply.headers["content-length"] == str(len(reply.data))
    found = reply.get_json()["data"]
    assert {id_: content["displayBodyMessage"] for id_, content in found.items()} == dict.fromkeys(IDS, TEXT)


def test_reply_is_counted_until_it_was_sent(large: Api) -> None:
    for ids in (IDS[:1], IDS):
        body = call(large, {**ASKED, "notificationIds": ids}, start_response)
        assert len(ids) * len(TEXT) < held(large) < len(ids) * len(TEXT) + 20_000
        assert orjson.loads(b"".join(body))["data"].keys() == set(ids)
        _close(body)
        assert held(large) == 0


def test_reply_is_counted_until_its_connection_ended(large: Api) -> None:
    """A server also closes a reply that it has sent in part, or not at all."""
    for chunks in (0, 1):
        body = call(large, ASKED, start_response)
        sent = iter(body)
        for _ in range(chunks):
            next(sent)
        assert held(large) > SMALL_REPLY
        _close(body)
        assert held(large) == 0


def test_reply_gives_back_what_was_sent_of_it(large: Api) -> None:
    """A client that takes a large reply slowly doesn't hold all of it until the end."""
    body = call(large, ASKED, start_response)
    sent, before = iter(body), held(large)
    first = next(sent)
    next(sent)
    assert held(large) == before - len(first)
    _close(body)
    assert held(large) == 0


def test_reply_that_the_server_did_not_take_is_not_counted(large: Api, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--no-hot-path"):
        pytest.skip("Flask doesn't close a reply that it couldn't start")

    def refuse(*_args: Any) -> Any:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        call(large, ASKED, refuse)
    assert held(large) == 0


def test_denied_records_are_released_from_the_budget_after_the_check(large: Api) -> None:
    reply = large.callback("get", ASKED, "zoe")
    assert reply.get_json()["data"] == {}
    assert held(large) <= len(reply.data)


def test_data_provider_refuses_with_retry_after_when_memory_is_full(large: Api) -> None:
    fill(large)
    before = held(large)
    reply = large.callback("get", ASKED)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert reply.get_json()["success"] is False
    assert "CANARY" not in reply.text
    assert held(large) == before


def test_mirror_refuses_with_retry_after_when_memory_is_full(large: Api, velt: Velt) -> None:
    reply = large.velt("notifications/get", MIRROR)
    assert len(reply.get_json()["result"]["data"]) == len(IDS)
    assert held(large) == 0
    fill(large)
    before = held(large)
    reply = large.velt("notifications/get", MIRROR)
    assert error_of(reply) == (503, "UNAVAILABLE")
    assert reply.headers["retry-after"] == "2"
    assert held(large) == before


def test_small_reads_are_answered_while_large_ones_are_refused(large: Api) -> None:
    for person in range(2):
        large.services.replies.large.take(person, 32 * MIB)
    assert large.callback("get", ASKED).status_code == 503
    assert large.read(IDS[0]).keys() == {IDS[0]}
    refused = figures_in(large.client.get("/metrics").text)
    assert refused['resolver_replies_refused_total{what="large"}'] >= 1


def test_reply_that_cannot_be_put_on_record_is_not_counted(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    api = make_api(RESOLVER_AUDIT_LOG=str(tmp_path / "audit.log"))
    assert api.add(displayBodyMessage=TEXT).status_code == 200
    bearer = {"authorization": f"Bearer {api.token('ben', 'acme')}"}
    api.services.trail.close()
    (tmp_path / "audit.log").unlink()
    (tmp_path / "audit.log").mkdir()
    assert api.post(GET, {**ASKED, "notificationIds": ["n-1"]}, bearer).status_code == 503
    assert held(api) == 0


def _close(body: Any) -> None:
    if hasattr(body, "close"):
        body.close()
