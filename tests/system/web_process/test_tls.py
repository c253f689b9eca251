"""A web process that terminates TLS itself: pipelined requests, and no file left open."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from tests.servers import authority
from tests.system.conftest import RESOLVER, Served, free_port, plain_environment
from tests.system.web_process.clients import (
    LAST_LIVEZ,
    LIVEZ,
    Environment,
    child,
    connect,
    everything,
    files,
)
from tests.waiting import until

pytestmark = pytest.mark.system


@contextmanager
def serving_tls(settings: Environment, folder: Path) -> Iterator[tuple[Served, ssl.SSLContext]]:
    ours = authority(folder)
    bind = f"127.0.0.1:{free_port()}"
    given = {**settings, "RESOLVER_BIND": bind, "WEB_CONCURRENCY": "1"}
    given["GUNICORN_CMD_ARGS"] = f"--certfile {ours.certificate} --keyfile {ours.key}"
    log = folder / "log"
    with log.open("wb") as output:
        process = start_child(
            [*RESOLVER, "serve"], env=plain_environment(given), stdout=output, stderr=output
        )
    served = Served(f"https://{bind}", process, log)
    context = ssl.create_default_context(cafile=str(ours.ca))
    pool = urllib3.PoolManager(
        retries=urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.1), ssl_context=context
    )
    try:
        assert pool.request("GET", f"{served.url}/livez").status == 200
        pool.clear()
        yield served, context
    finally:
        stop_child(process)


def test_tls_answers_pipelined_requests_and_leaves_no_file_open(alone: Environment, tmp_path: Path) -> None:
    with serving_tls(alone, tmp_path) as (served, context):

        def connect_by_tls() -> ssl.SSLSocket:
            return context.wrap_socket(connect(served), server_hostname="127.0.0.1")

        process = child(served)
        # As much as is read at once ends just where the next request begins, which TLS has opened by then.
        long = LIVEZ.replace(b"host: x", b"host: x\r\nx-long: ")
        long = long.replace(b"x-long: ", b"x-long: " + b"x" * (8192 - len(long)))
        with connect_by_tls() as connection:
            connection.sendall(long + LAST_LIVEZ)
            assert everything(connection).count(b"200 OK") == 2
        before = files(process)
        for _ in range(20):
            with connect_by_tls() as connection, connect(served, b"\x16\x03"):
                connection.sendall(LIVEZ)
                assert b"200 OK" in connection.recv(65536)
        until(lambda: files(process) <= before, seconds=5)
