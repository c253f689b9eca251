"""The Velt client against the sandbox, healthy and broken in every way it can be."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resolver.config import DIRECT
from resolver.config.secret import Secret
from resolver.deadline import Deadline
from resolver.errors import VeltRefused, VeltUnavailable
from resolver.velt.client import VeltClient, VeltEndpoint
from tests.support import API_KEY, VELT_TOKEN, Velt


def client(url: str, token: str = VELT_TOKEN) -> VeltClient:
    return VeltClient(url, Secret.of(API_KEY), Secret.of(token), connections=2, outbound=DIRECT)


def ask(url: str, seconds: float = 2.0, **kwargs: Any) -> Any:
    return client(url, **kwargs).post(VeltEndpoint.WORKSPACE_GET, {}, Deadline.after(seconds))


@contextmanager
def raw_server(answer: bytes, drip: float = 0) -> Iterator[str]:
    """Run a server that sends these bytes on each connection, slowly if `drip` is set."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while not connection.recv(65536).endswith(b"}"):
                    continue  # all of it: closing on unread bytes would reset the connection
                pieces = [answer] if not drip else [answer[n : n + 1] for n in range(len(answer))]
                for piece in pieces:
                    if stopped.wait(drip):
                        return
                    try:
                        connection.sendall(piece)
                    except OSError:
                        break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\n\r\n".encode() + body


def test_successful_answer_is_returned_whole(velt: Velt) -> None:
    answer = ask(velt.url)
    assert answer["result"]["message"] == "Notification configuration retrieved successfully."


def test_a_refusal_keeps_velts_status_message_and_http_status(velt: Velt) -> None:
    with pytest.raises(VeltRefused) as caught:
        ask(velt.url, token="wrong")
    assert (caught.value.status, caught.value.http_status) == ("PERMISSION_DENIED", 403)
    assert caught.value.payload == {"error": {"message": "Invalid API key.", "status": "PERMISSION_DENIED"}}


def test_velts_status_decides_even_under_a_200(velt: Velt) -> None:
    velt.break_with(body={"error": {"status": "INVALID_ARGUMENT", "message": "no"}}, count=1)
    with pytest.raises(VeltRefused) as caught:
        ask(velt.url)
    assert (caught.value.status, caught.value.http_status) == ("INVALID_ARGUMENT", 400)


def test_http_429_is_throttling_with_any_status(velt: Velt) -> None:
    velt.break_with(status=429, body={"error": {"message": "slow down", "code": 429}}, count=1)
    with pytest.raises(VeltRefused) as caught:
        ask(velt.url)
    assert caught.value.status == "RESOURCE_EXHAUSTED"


def test_a_503_brings_its_retry_after_too(velt: Velt) -> None:
    velt.break_with(status=503, retryAfter=5, count=1)
    with pytest.raises(VeltUnavailable) as caught:
        ask(velt.url)
    assert caught.value.retry_after == "5"


_REFUSED = b'{"error":{"message":"busy","status":"RESOURCE_EXHAUSTED"}}'
ODD = [
    b"3\r\n x: y",
    b"3\r\n\tset-cookie: a=b",
    b"-1",
    b"1.5",
    b"1234567890",
    b"\xd9\xa3",
    b"Fri, 31 Dec 2027 23:59:59 GMT; x",
    b"soon",
    b"",
]


@pytest.mark.parametrize("given", ODD)
@pytest.mark.parametrize("status", ["429 Busy", "503 Down"])
def test_an_odd_retry_after_is_not_passed_on(given: bytes, status: str) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(_REFUSED)}\r\nretry-after: ".encode()
    answer = head + given + b"\r\n\r\n" + _REFUSED
    with raw_server(answer) as url, pytest.raises((VeltRefused, VeltUnavailable)) as caught:
        ask(url)
    assert isinstance(caught.value, VeltRefused | VeltUnavailable)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("given", ["0", "999999999", "Fri, 31 Dec 2027 23:59:59 GMT"])
def test_a_retry_after_in_seconds_or_as_a_date_is_passed_on(given: str) -> None:
    head = f"HTTP/1.1 429 Busy\r\ncontent-length: {len(_REFUSED)}\r\nretry-after: {given}\r\n\r\n"
    with raw_server(head.encode() + _REFUSED) as url, pytest.raises(VeltRefused) as caught:
        ask(url)
    assert caught.value.retry_after == given


@pytest.mark.parametrize("job", ["", "a b", "x" * 129, "\u001b[31m", "job\n", "j\u00f6b", 7, None])
def test_job_id_out_of_form_is_refused(job: Any) -> None:
    """Otherwise it would appear in a signed certificate."""
    body = json.dumps({"result": {"data": {"jobId": job}}}).encode()
    with raw_server(http(body)) as url, pytest.raises(VeltUnavailable):
        client(url).delete_user_data(["ben"], [], Deadline.after(2))


def test_too_many_requests_brings_its_retry_after(velt: Velt) -> None:
    velt.break_with(retryAfter=7, count=1)
    with pytest.raises(VeltRefused) as caught:
        ask(velt.url)
    assert (caught.value.status, caught.value.retry_after) == ("RESOURCE_EXHAUSTED", "7")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"malformed": True},
        {"drop": "before"},
        {"drop": "after"},
        {"body": {"error": {"status": "INTERNAL", "message": "secret detail"}}},
        {"body": {"result": {"status": "failure"}}},
        {"body": {"result": "done"}},
        {"body": {}},
        {"body": []},
        {"body": None},
        {"status": 408, "errorStatus": "DEADLINE_EXCEEDED"},
        {"body": {"result": {"status": "success", "data": json.loads("[" * 100 + "]" * 100)}}},
        {
            "status": 400,
            "body": {"error": {"status": "INVALID_ARGUMENT", "d": json.loads("[" * 99 + "]" * 99)}},
        },
        {"status": 404, "body": {"message": "not Velt's shape"}},
    ],
)
def test_other_answers_are_unavailable(velt: Velt, fault: dict[str, Any]) -> None:
    velt.break_with(**fault, count=1)
    with pytest.raises(VeltUnavailable) as caught:
        ask(velt.url)
    assert "secret detail" not in f"{caught.value}{caught.value.reason}"


def test_call_ends_at_the_deadline_when_velt_hangs(velt: Velt) -> None:
    velt.break_with(hang=5, count=1)
    started = time.monotonic()
    with pytest.raises(VeltUnavailable):
        ask(velt.url, seconds=0.4)
    assert time.monotonic() - started < 1


def test_nothing_is_sent_when_no_time_is_left(velt: Velt) -> None:
    with pytest.raises(VeltUnavailable):
        ask(velt.url, seconds=-1)
    assert velt.ledger() == []


def test_refused_connection_is_unavailable() -> None:
    with pytest.raises(VeltUnavailable):
        ask("http://127.0.0.1:1")


def test_a_redirect_is_not_followed(velt: Velt) -> None:
    target = f"{velt.url}/v2/notifications/get"
    answer = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"
    with raw_server(answer.encode()) as url, pytest.raises(VeltUnavailable):
        ask(url)
    assert velt.ledger() == []


def test_an_answer_that_is_too_large_is_cut_off() -> None:
    whole = b'{"result":{"status":"success","x":"' + b"x" * (5 * 1024 * 1024) + b'"}}'
    with raw_server(http(whole)) as url, pytest.raises(VeltUnavailable) as caught:
        ask(url, seconds=10)
    assert "too large" in caught.value.reason


def brackets(megabytes: float) -> bytes:
    """An answer that is small on the wire and large in memory: each pair of brackets becomes an object."""
    pairs = int(megabytes * 1024 * 1024) // 3
    return b'{"result":{"status":"success","data":[' + b"[]," * pairs + b"[]]}}"


@pytest.mark.parametrize("megabytes", [16, 3.9])
def test_velt_client_refuses_an_answer_of_brackets_within_the_deadline(megabytes: float) -> None:
    """Parsing counts too: 16 MiB of brackets took five times the deadline."""
    with raw_server(http(brackets(megabytes))) as url:
        started = time.monotonic()
        with pytest.raises(VeltUnavailable) as caught:
            ask(url, seconds=2.0)
        assert time.monotonic() - started < 2.2
    assert "too large" in caught.value.reason


def test_call_ends_at_the_deadline_when_the_answer_drips() -> None:
    started = time.monotonic()
    with (
        raw_server(http(b'{"result":{"status":"success"}}'), drip=0.2) as url,
        pytest.raises(VeltUnavailable),
    ):
        ask(url, seconds=0.5)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", http(b""), http(b"<html>bad gateway</html>", "502 Bad")]
)
def test_answer_that_is_not_http_or_not_json_is_unavailable(answer: bytes) -> None:
    with raw_server(answer) as url, pytest.raises(VeltUnavailable):
        ask(url)


def test_connections_are_reused(velt: Velt) -> None:
    reused = client(velt.url)
    for _ in range(5):
        reused.post(VeltEndpoint.WORKSPACE_GET, {}, Deadline.after(2))
