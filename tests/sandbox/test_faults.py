"""/_sandbox/faults: how the sandbox misbehaves on request."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from tests.sandbox.conftest import CREDENTIALS, Control, Reply, Velt, notification
from tests.waiting import until

ADD = "/v2/notifications/add"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (418, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
def test_a_status_answers_in_velts_shape_and_commits_nothing(
    velt: Velt, control: Control, code: int, status: str
) -> None:
    control.post("faults", {"status": code})
    reply = velt.add()
    assert (reply.code, reply.error) == (code, {"message": "Injected fault.", "status": status})
    assert control.stored() == {}


def test_the_error_can_be_worded(velt: Velt, control: Control) -> None:
    control.post("faults", {"status": 500, "errorStatus": "DATA_LOSS", "message": "gone"})
    assert velt.add().error == {"message": "gone", "status": "DATA_LOSS"}


@pytest.mark.parametrize("retry_after", [7, "Fri, 31 Dec 2027 23:59:59 GMT"])
def test_retry_after_is_sent_with_429_unless_another_status_is_asked_for(
    velt: Velt, control: Control, retry_after: Any
) -> None:
    control.post(
        "faults", [{"retryAfter": retry_after, "count": 1}, {"retryAfter": retry_after, "status": 503}]
    )
    first, second = velt.add(), velt.add()
    assert (first.code, first.error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert second.code == 503
    assert first.headers["Retry-After"] == second.headers["Retry-After"] == str(retry_after)


def test_a_200_may_carry_an_error_body(velt: Velt, control: Control) -> None:
    body = {"error": {"message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}
    control.post("faults", {"status": 200, "body": body})
    reply = velt.add()
    assert (reply.code, reply.body) == (200, body)
    assert control.stored() == {}


def test_malformed_answers_200_with_json_that_does_not_parse(velt: Velt, control: Control) -> None:
    control.post("faults", {"malformed": True})
    answer = velt.pool.request("POST", velt.url + ADD, body=b"{}", headers=CREDENTIALS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(answer.data)


@pytest.mark.parametrize("fault", [{"status": 500}, {"malformed": True}, {"body": {}}, {"hang": 0.01}])
def test_a_spoiled_answer_commits_the_work_when_asked_to(
    velt: Velt, control: Control, fault: dict[str, Any]
) -> None:
    control.post("faults", {**fault, "commit": True})
    with pytest.raises((ProtocolError, orjson.JSONDecodeError, KeyError)):
        _ = velt.add().data
    assert list(control.stored()) == ["n1"]


def test_latency_delays_the_answer_and_nothing_else(velt: Velt, control: Control) -> None:
    control.post("faults", {"latencyMs": 150})
    started = time.monotonic()
    assert velt.add().code == 200
    assert time.monotonic() - started >= 0.15


def test_a_slow_request_does_not_hold_up_the_others(velt: Velt, control: Control) -> None:
    control.post("faults", {"latencyMs": 30_000, "count": 1})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(velt.add, "slow")
        until(control.ledger, "the request has arrived")
        assert velt.add("quick").code == 200
        assert not slow.done()
        control.send("DELETE", "/_sandbox/faults")
        assert slow.result().code == 200


def test_a_drop_before_the_work_closes_without_an_answer_and_commits_nothing(
    velt: Velt, control: Control
) -> None:
    control.post("faults", {"drop": "before"})
    with pytest.raises(ProtocolError, match="closed connection without response"):
        velt.add()
    assert control.stored() == {}


def test_a_drop_after_the_work_commits_and_resets_the_connection(velt: Velt, control: Control) -> None:
    control.post("faults", {"drop": "after"})
    with pytest.raises(ProtocolError) as dropped:
        velt.add()
    assert isinstance(dropped.value.args[1], ConnectionResetError)
    assert list(control.stored()) == ["n1"]


def call_briefly(velt: Velt) -> None:
    body = orjson.dumps({"data": notification(notificationId="n1")})
    velt.pool.request("POST", velt.url + ADD, body=body, headers=CREDENTIALS, timeout=0.15)


def test_a_hang_never_answers_and_commits_nothing(velt: Velt, control: Control) -> None:
    control.post("faults", {"hang": True})
    with pytest.raises(ReadTimeoutError):
        call_briefly(velt)
    assert control.stored() == {}


def test_a_hang_can_come_after_the_work_was_committed(velt: Velt, control: Control) -> None:
    control.post("faults", {"hang": 30, "drop": "after"})
    with pytest.raises(ReadTimeoutError):
        call_briefly(velt)
    assert list(control.stored()) == ["n1"]


def test_a_hang_ends_with_its_time_by_closing_the_connection(velt: Velt, control: Control) -> None:
    control.post("faults", {"hang": 0.1})
    started = time.monotonic()
    with pytest.raises(ProtocolError):
        velt.add()
    assert 0.1 <= time.monotonic() - started < 2


@pytest.mark.parametrize(("method", "path"), [("DELETE", "faults"), ("POST", "reset")])
def test_clearing_the_faults_lets_go_of_requests_that_hang(
    velt: Velt, control: Control, method: str, path: str
) -> None:
    control.post("faults", {"hang": True})
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(velt.add)
        until(control.ledger, "the request has arrived")
        control.send(method, f"/_sandbox/{path}")
        with pytest.raises(ProtocolError):
            hung.result(timeout=2)
    assert velt.add().code == 200


def test_a_count_limits_a_fault_and_the_list_tells_how_often_it_struck(velt: Velt, control: Control) -> None:
    declared = control.post("faults", {"status": 500, "count": 2}).body
    assert declared == {"faults": [{"status": 500, "count": 2, "hits": 0, "remaining": 2}]}
    assert [velt.add().code for _ in range(3)] == [500, 500, 200]
    assert control.get("faults").body == {"faults": [{"status": 500, "count": 2, "hits": 2, "remaining": 0}]}


def test_a_rate_strikes_part_of_the_requests_and_the_same_ones_with_the_same_seed(
    velt: Velt, control: Control
) -> None:
    def run(seed: int) -> list[int]:
        control.post("reset")
        control.post("faults", {"status": 500, "rate": 0.5, "seed": seed})
        return [velt.add().code for _ in range(40)]

    first = run(1)
    assert 5 < first.count(500) < 35
    assert run(1) == first
    assert run(2) != first


def test_a_rate_of_zero_never_strikes_and_of_one_always(velt: Velt, control: Control) -> None:
    control.post("faults", [{"status": 500, "rate": 0}, {"status": 503, "rate": 1}])
    assert [velt.add().code for _ in range(5)] == [503] * 5


@pytest.mark.parametrize(
    ("path", "struck"),
    [(ADD, True), ("/v2/notifications/*", True), ("*/add", True), ("/v2/workspace/*", False)],
)
def test_a_path_limits_a_fault_and_may_hold_wildcards(
    velt: Velt, control: Control, path: str, struck: bool
) -> None:
    control.post("faults", {"status": 500, "path": path})
    assert (velt.add().code == 500) is struck


def test_the_first_fault_that_matches_is_the_only_one_that_strikes(velt: Velt, control: Control) -> None:
    control.post("faults", {"faults": [{"status": 500, "count": 1}, {"status": 503, "count": 1}]})
    assert [velt.add().code for _ in range(3)] == [500, 503, 200]


def test_faults_add_up_until_they_are_deleted(velt: Velt, control: Control) -> None:
    control.post("faults", {"status": 500, "path": "/v2/workspace/*"})
    control.post("faults", {"status": 503})
    assert velt.add().code == 503
    assert control.send("DELETE", "/_sandbox/faults").body == {"faults": []}
    assert velt.add().code == 200


def test_faults_strike_before_credentials_are_looked_at(velt: Velt, control: Control) -> None:
    control.post("faults", {"status": 503})
    assert velt.send("POST", ADD, b"{}").code == 503


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"path": ADD},
        {"status": 99},
        {"status": "500"},
        {"drop": "sometimes"},
        {"hang": -1},
        {"hang": 301},
        {"hang": "long"},
        {"latencyMs": True},
        {"malformed": 1},
        {"status": 500, "rate": 1.1},
        {"status": 500, "count": 0},
        {"status": 500, "typo": 1},
        {"retryAfter": -1},
        {"retryAfter": "1\r\nX-Injected: 1"},
        {"drop": "after", "commit": True},
        {"latencyMs": 5, "commit": False},
        "500",
        None,
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(velt: Velt, control: Control, fault: Any) -> None:
    reply: Reply = control.post("faults", [fault])
    assert (reply.code, reply.error["status"]) == (400, "INVALID_ARGUMENT")
    assert control.get("faults").body == {"faults": []}
