"""Calls to other services from real processes: services in trouble of every kind, TLS, a forward proxy."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from resolver.cli.local_redis import LocalRedis
from tests.auth.test_permission_provider import answering
from tests.network import (
    Address,
    Firewall,
    ForwardProxy,
    address_of,
    dead_addresses,
    listening,
    names_for,
    read_request,
    tls_in_front_of,
)
from tests.servers import KEYS, Service, authority, jwk, running, signed
from tests.support import BACKEND, VELT_TOKEN, Velt, notification
from tests.support import signed as signed_by_secret
from tests.system.conftest import RESOLVER, Served, free_ports, plain_environment, serving
from tests.waiting import until

pytestmark = pytest.mark.system
DEADLINE, GRACE = 2.0, 0.2
DRIP_SECONDS = 0.1
"""A service that drips sends a byte so often: its answer takes longer than any deadline."""


def post(served: Served, path: str, body: Any, headers: dict[str, str] = BACKEND) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{served.url}{path}", json=body, headers=headers, retries=False)


def add(served: Served, id_: str, **changes: Any) -> str:
    """`registered` when Velt took it within the call, else `pending`."""
    reply = post(served, "/v2/notifications/add", {"data": notification(notificationId=id_, **changes)})
    assert reply.status == 200, reply.data
    return str(reply.json()["result"]["data"]["registration"])


def get(served: Served) -> int:
    """Make a call that can't be answered without Velt, and return its status."""
    asked = {"data": {"organizationId": "acme", "documentId": "doc-1"}}
    return post(served, "/v2/notifications/get", asked).status


@contextmanager
def dripping() -> Iterator[Address]:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 90:
            time.sleep(DRIP_SECONDS)
            connection.sendall(bytes([byte]))

    with listening(serve) as address:
        yield address


@contextmanager
def brackets() -> Iterator[Address]:
    body = b'{"result":{"status":"success","data":[' + b"[]," * (16 * 1024 * 1024 // 3) + b"[]]}}"

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    with listening(serve) as address:
        yield address


@contextmanager
def unresolved() -> Iterator[list[Address]]:
    yield []


@contextmanager
def one(server: Callable[[], Any]) -> Iterator[list[Address]]:
    with server() as address:
        yield [address]


@pytest.mark.parametrize(
    "trouble",
    [unresolved, lambda: dead_addresses(4), lambda: one(dripping), lambda: one(brackets)],
    ids=["name resolution hangs", "four dead addresses", "dripping answer", "16 MiB of brackets"],
)
def test_web_process_answers_within_its_deadline(
    trouble: Callable[[], Any], resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    with trouble() as addresses:
        environment = {
            **resolver_environment,
            **names_for(tmp_path / "names", {"velt.test": addresses}),
            "VELT_API_URL": "http://velt.test",
            "RESOLVER_WORKER": "separate",
        }
        with serving(environment, tmp_path / "log") as served:
            for call, answer in ((lambda: get(served), 503), (lambda: add(served, "n-1"), "pending")):
                started = time.monotonic()
                assert call() == answer
                assert time.monotonic() - started < DEADLINE + GRACE


def test_web_process_loses_one_call_at_most_to_connections_dropped_silently(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    firewall = Firewall()
    with firewall.in_front_of(address_of(velt.url)) as url:
        environment = {**resolver_environment, "VELT_API_URL": url, "RESOLVER_WORKER": "separate"}
        with serving(environment, tmp_path / "log") as served:
            assert get(served) == 200
            assert firewall.connections == 1
            firewall.drop_connections()
            started = time.monotonic()
            statuses = [get(served) for _ in range(4)]
            assert time.monotonic() - started < DEADLINE + GRACE + 1
            assert statuses.count(503) <= 1


def test_worker_goes_on_after_connections_were_dropped_silently(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    firewall = Firewall()
    with firewall.in_front_of(address_of(velt.url)) as url:
        environment = {
            **resolver_environment,
            "VELT_API_URL": url,
            "RESOLVER_REGISTRATION": "deferred",
            "RESOLVER_WORKER": "separate",
        }
        log = tmp_path / "worker.log"
        with serving(environment, tmp_path / "web.log") as served, working(environment, log):
            for n in range(3):
                add(served, f"n-{n}")
                wait_for_adds(velt, n + 1, log)
            firewall.drop_connections()
            dropped = firewall.connections
            for n in range(3, 6):
                add(served, f"n-{n}")
                wait_for_adds(velt, n + 1, log)
            assert firewall.connections > dropped


@pytest.mark.parametrize(
    ("settings", "token", "answer"),
    [
        (
            {"RESOLVER_TOKEN_JWKS_URL": "http://hangs.test/"},
            signed(KEYS["ES256"], "ES256", "first", {"sub": "zoe"}),
            (503, None),
        ),
        (
            {"RESOLVER_PERMISSION_URL": "http://hangs.test/", "RESOLVER_READ_POLICY": "document"},
            signed_by_secret("zoe", "acme"),
            (200, {}),
        ),
    ],
    ids=["key set", "permission provider"],
)
def test_read_is_answered_within_the_deadline_when_a_name_does_not_resolve(
    settings: dict[str, str],
    token: str,
    answer: tuple[int, Any],
    resolver_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    names = names_for(tmp_path / "names", {"hangs.test": []})
    with serving({**resolver_environment, **settings, **names}, tmp_path / "log") as served:
        add(served, "n-1")
        started = time.monotonic()
        asked = {"organizationId": "acme", "notificationIds": ["n-1"]}
        headers = {"authorization": f"Bearer {token}"}
        reply = post(served, "/api/velt/notifications/get", asked, headers)
        assert time.monotonic() - started < DEADLINE + GRACE
        assert (reply.status, reply.json().get("data")) == answer


HOSTS = ("velt.test", "id.test", "permissions.test")
ISSUER, AUDIENCE = "https://id.test/", "resolver"


@pytest.fixture
def services_by_tls(velt: Velt, tmp_path: Path) -> Iterator[dict[str, Address]]:
    """Run Velt, an identity provider and a Permission Provider with certificates of the tests' own
    authority."""
    certified = authority(tmp_path, HOSTS)
    pair = certified.certificate, certified.key
    with ExitStack() as stack:
        published = {"keys": [jwk(KEYS["ES256"], "first")]}
        provider = stack.enter_context(running(Service(body=published), pair))
        permissions = stack.enter_context(running(Service(body=answering("doc-1")), pair))
        yield {
            "velt.test": stack.enter_context(tls_in_front_of(address_of(velt.url), certified)),
            "id.test": address_of(provider.url),
            "permissions.test": address_of(permissions.url),
        }


@pytest.fixture
def by_tls(resolver_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {
        **resolver_environment,
        "RESOLVER_MODE": "production",
        "RESOLVER_LOG_LEVEL": "debug",
        "VELT_API_URL": "https://velt.test",
        "RESOLVER_TOKEN_JWKS_URL": "https://id.test/keys",
        "RESOLVER_TOKEN_ISSUER": ISSUER,
        "RESOLVER_TOKEN_AUDIENCE": AUDIENCE,
        "RESOLVER_READ_POLICY": "document",
        "RESOLVER_PERMISSION_URL": "https://permissions.test/",
        "RESOLVER_OUTBOUND_CA_FILE": str(tmp_path / "ca.pem"),
        "RESOLVER_REGISTRATION": "deferred",
        "RESOLVER_WORKER": "separate",
    }


@contextmanager
def working(variables: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = start_child(
            [*RESOLVER, "worker"], env=plain_environment(variables), stdout=output, stderr=output
        )
    try:
        yield
    finally:
        stop_child(process)


def wait_for_adds(velt: Velt, number: int, log: Path) -> None:
    def are_there() -> bool:
        return len({sent["notificationId"] for sent in velt.sent("/v2/notifications/add")}) >= number

    until(are_there, lambda: f"{number} adds at Velt: {log.read_text(encoding='utf-8')}")


def go_round(environment: dict[str, str], velt: Velt, tmp_path: Path) -> str:
    """Have the worker and the web process call Velt, and the web process the key set and the Permission
    Provider. Returns what was logged."""
    logs = tmp_path / "web.log", tmp_path / "worker.log"
    with serving(environment, logs[0]) as served, working(environment, logs[1]):
        assert add(served, "n-1") == "pending"
        wait_for_adds(velt, 1, logs[1])
        assert get(served) == 200
        claims = {
            "sub": "zoe",
            "organizationIds": "acme",
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 300,
        }
        token = signed(KEYS["ES256"], "ES256", "first", claims)
        asked = {"organizationId": "acme", "notificationIds": ["n-1"]}
        headers = {"authorization": f"Bearer {token}"}
        reply = post(served, "/api/velt/notifications/get", asked, headers)
        assert reply.json()["data"].keys() == {"n-1"}
    return "".join(log.read_text(encoding="utf-8") for log in logs)


def test_redis_velt_key_set_and_provider_are_called_by_tls(
    by_tls: dict[str, str], services_by_tls: dict[str, Address], velt: Velt, tmp_path: Path
) -> None:
    """A library that was imported before gevent patched `ssl` recurses without end. gevent's warning that it
    was patched late (a RuntimeWarning) ends a process here."""
    names = {host: [address] for host, address in services_by_tls.items()}
    certified = authority(tmp_path / "redis")
    (port,) = free_ports(1)
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certified.certificate), "--tls-key-file", str(certified.key)]
    server = LocalRedis(tmp_path / "data", [*options, "--tls-ca-cert-file", str(certified.ca)])
    changes = {
        **names_for(tmp_path / "names", names),
        "REDIS_URL": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certified.ca}",
        "PYTHONWARNINGS": "error::RuntimeWarning",
    }
    try:
        logged = go_round({**by_tls, **changes}, velt, tmp_path)
    finally:
        server.stop()
    assert "Warning" not in logged


@pytest.mark.parametrize("speaks_tls", [False, True], ids=["http proxy", "https proxy"])
def test_velt_key_set_and_provider_are_called_through_a_proxy(
    by_tls: dict[str, str],
    services_by_tls: dict[str, Address],
    velt: Velt,
    tmp_path: Path,
    speaks_tls: bool,
) -> None:
    """Only the proxy can resolve the names, and names are all that it sees."""
    routes = {f"{host}:443": address for host, address in services_by_tls.items()}
    proxy = ForwardProxy(routes, credentials="resolver:hunter2-of-the-proxy")
    certified = authority(tmp_path / "proxy", ()) if speaks_tls else None
    with proxy.running(certified) as url:
        if certified:
            both = (tmp_path / "ca.pem").read_text() + certified.ca.read_text()
            (tmp_path / "ca.pem").write_text(both)
        logged = go_round({**by_tls, "RESOLVER_OUTBOUND_PROXY": url}, velt, tmp_path)
    assert {tuple(head.split()[:2]) for head in proxy.heads} == {
        (b"CONNECT", f"{host}:443".encode()) for host in HOSTS
    }
    seen = b"".join(proxy.heads)
    assert b"CANARY" not in seen
    assert VELT_TOKEN.encode() not in seen
    assert "hunter2" not in logged


def check(environment: dict[str, str]) -> str:
    command = subprocess.run(
        [*RESOLVER, "check"], env=plain_environment(environment), capture_output=True, timeout=60, check=False
    )
    return (command.stdout + command.stderr).decode()


@pytest.mark.parametrize(
    ("credentials", "given", "status"),
    [("resolver:right", "resolver:hunter2-is-wrong@", 407), ("", "", 403)],
    ids=["wrong password", "host not allowed"],
)
def test_check_says_that_the_proxy_is_in_the_way(
    by_tls: dict[str, str], services_by_tls: dict[str, Address], credentials: str, given: str, status: int
) -> None:
    with ForwardProxy({}, credentials).running() as url:
        address = url.rpartition("@")[2].removeprefix("http://")
        shown = check({**by_tls, "RESOLVER_OUTBOUND_PROXY": f"http://{given}{address}"})
    assert f"velt: cannot be reached (velt: proxy: HTTP {status})" in shown
    assert "hunter2" not in shown


def test_check_says_that_an_authority_is_missing(
    by_tls: dict[str, str], services_by_tls: dict[str, Address], tmp_path: Path
) -> None:
    names = {host: [address] for host, address in services_by_tls.items()}
    environment = {**by_tls, **names_for(tmp_path / "names", names), "RESOLVER_OUTBOUND_CA_FILE": ""}
    shown = check(environment)
    assert "velt: cannot be reached (velt: SSLCertVerificationError)" in shown
    assert "the key set cannot be fetched (SSLCertVerificationError)" in shown


def test_variables_of_the_environment_for_proxies_are_not_read(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:1")
    with serving({**resolver_environment, **nowhere}, tmp_path / "log") as served:
        assert add(served, "n-1") == "registered"


def test_this_host_is_called_directly_whatever_the_proxy(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**resolver_environment, "RESOLVER_OUTBOUND_PROXY": "http://127.0.0.1:1"}
    with serving(environment, tmp_path / "log") as served:
        assert add(served, "n-1") == "registered"


def test_http_is_forwarded_by_the_proxy(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    """This holds in development. In production, all URLs but this host's are https."""
    proxy = ForwardProxy({"velt.test": address_of(velt.url)})
    with proxy.running() as url:
        environment = {
            **resolver_environment,
            "VELT_API_URL": "http://velt.test",
            "RESOLVER_OUTBOUND_PROXY": url,
        }
        with serving(environment, tmp_path / "log") as served:
            assert add(served, "n-1") == "registered"
    assert proxy.heads[0].startswith(b"POST http://velt.test/v2/notifications/add HTTP/1.1\r\n")
