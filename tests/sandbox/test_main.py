"""`python -m resolver.sandbox`"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch() -> Iterator[Launch]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "resolver.sandbox",
            "--api-key",
            "K",
            "--auth-token",
            "T",
            *arguments,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def announced(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_serves_and_ends_quickly_and_silently(
    launch: Launch, number: signal.Signals
) -> None:
    process = launch("--port", "0")
    line = announced(process)
    prefix, _, url = line.rstrip("\n").rpartition(" ")
    assert prefix == "Velt sandbox on"
    with urllib3.PoolManager(retries=False) as pool:
        assert pool.request("GET", f"{url}/_sandbox/ledger").status == 200
        asked = time.monotonic()
        process.send_signal(number)
        assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0
    assert time.monotonic() - asked < 2


def test_a_port_that_is_taken_is_said_in_one_line(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = launch("--port", str(taken.getsockname()[1]))
        output, errors = process.communicate(timeout=10)
    assert (output, process.returncode) == ("", 1)
    assert errors.count("\n") == 1
    assert "cannot listen on 127.0.0.1" in errors
