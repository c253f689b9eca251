"""Reads that arrive together each get their own answer, in time, whatever one of the clients does."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from tests.support import notification
from tests.system.conftest import Served, serving
from tests.system.load import add, post
from tests.system.load import read as read_ids
from tests.system.processes import suspended
from tests.system.web_process.clients import (
    AT_ONCE,
    HALF,
    HALF_A_BODY,
    Environment,
    asking_for,
    child,
    everything,
    known,
    posting,
    reset,
)

pytestmark = pytest.mark.system


def each_gets_its_own(asked: list[socket.socket]) -> bool:
    found = []
    for connection in asked:
        with connection:
            found.append(list(orjson.loads(everything(connection).partition(b"\r\n\r\n")[2])["data"]))
    return found == [[f"n-{reader}"] for reader in range(len(asked))]


@pytest.fixture
def read_by_many(web_process: Served) -> None:
    for number in range(12):
        assert add(web_process.url, f"n-{number}")[0] == 200


@pytest.mark.usefixtures("read_by_many")
def test_reads_that_arrive_together_each_get_their_own_answer(web_process: Served) -> None:
    for _ in range(20):
        asked = [known(web_process) for _ in range(12)]
        with suspended(child(web_process)):  # so that all requests have arrived when it continues
            for number, connection in enumerate(asked):
                connection.sendall(asking_for([f"n-{number}"]))
        assert each_gets_its_own(asked)


@pytest.mark.usefixtures("read_by_many")
@pytest.mark.parametrize("said", [HALF, HALF_A_BODY])
def test_slow_sender_delays_no_read_that_arrives_with_it(web_process: Served, said: bytes) -> None:
    assert_answered_beside(web_process, said)


@pytest.mark.usefixtures("read_by_many")
def test_client_that_reads_no_answer_delays_no_read_that_arrives_with_it(web_process: Served) -> None:
    long = [f"long-{number}" for number in range(150)]
    for id_ in long:
        adding = notification(notificationId=id_, displayBodyMessage="x" * 30_000)
        assert post(web_process.url, "/v2/notifications/add", {"data": adding})[0] == 200
    assert_answered_beside(web_process, asking_for(long))


@pytest.mark.usefixtures("read_by_many")
def test_delete_between_reads_changes_only_its_own_document(web_process: Served) -> None:
    elsewhere = {"data": {"organizationId": "acme", "documentId": "elsewhere", "notificationIds": ["n-0"]}}
    for _ in range(5):
        assert_answered_beside(web_process, posting("/v2/notifications/delete", elsewhere))
    assert read_ids(web_process.url, ["n-0"]) == {"n-0"}


def test_audit_log_that_takes_no_lines_fails_all_concurrent_reads_in_time(
    alone: Environment, tmp_path: Path
) -> None:
    trail = tmp_path / "trail"
    os.mkfifo(trail)
    unread = os.open(trail, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(unread, b"x" * 512)
    with serving(alone | {"RESOLVER_AUDIT_LOG": str(trail)}, tmp_path / "log") as served:
        asked = [known(served) for _ in range(16)]
        with suspended(child(served)):
            for connection in asked:
                connection.sendall(asking_for(["n-0"]))
        started = time.monotonic()
        for connection in asked:
            with connection:
                assert b"503" in everything(connection)
        assert time.monotonic() - started < 2 + AT_ONCE / 2
    os.close(unread)


def assert_answered_beside(served: Served, said: bytes) -> None:
    """Six reads get their answers in time beside a client that sends these bytes."""
    asked, other = [known(served) for _ in range(6)], known(served)
    with other:
        with suspended(child(served)):
            for number, connection in enumerate(asked):
                if number == 3:
                    other.sendall(said)
                connection.sendall(asking_for([f"n-{number}"]))
        started = time.monotonic()
        assert each_gets_its_own(asked)
        assert time.monotonic() - started < AT_ONCE
        reset(other)
