"""The balancers of `deploy/`, as they are shipped, in front of two real instances on loopback."""

from __future__ import annotations

import operator
import shutil
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from tests.servers import authority
from tests.support import BACKEND, notification
from tests.system.conftest import RESOLVER, free_ports, plain_environment, wait_until_ready
from tests.system.load import Load
from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
TOKEN_PATH = "/api/velt/token"
ADD, GET = "/v2/notifications/add", "/api/velt/notifications/get"
CLIENTS = 3
IDLE_SECONDS = 0.7
"""Long enough for an instance to end between two requests on a connection."""


class Instance:
    """One `resolver serve` on a port of its own, which can be stopped and started again."""

    def __init__(self, environment: Mapping[str, str], port: int, log: Path) -> None:
        self._env = plain_environment({**environment, "RESOLVER_BIND": f"127.0.0.1:{port}"})
        self.url, self._log = f"http://127.0.0.1:{port}", log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = start_child([*RESOLVER, "serve"], env=self._env, stdout=output, stderr=output)
        wait_until_ready(f"{self.url}/readyz", self.process, self._log)

    def restart(self) -> None:
        """Replace the process as a rolling update does: SIGTERM, its end, a new process."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.start()

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for_requests(self, number: int = 1) -> None:
        """Wait until this instance has answered so many more requests of each listener of the balancer."""
        for path in (ADD, GET):
            wanted = self.log.count(path) + number
            until(lambda path=path, wanted=wanted: self.log.count(path) >= wanted, f"{path} here")  # type: ignore[misc]


@dataclass
class Balanced:
    inside: str
    """The URL that backends call."""
    internet: str
    ca: Path
    instances: list[Instance]
    log: Path
    pid: int
    """The balancer's process id."""

    def pool(self) -> urllib3.PoolManager:
        context = ssl.create_default_context(cafile=str(self.ca))
        # Nothing is tried again, so that each failure is counted.
        return urllib3.PoolManager(retries=False, timeout=15, maxsize=4, ssl_context=context)


def nginx(
    folder: Path, ports: Mapping[str, int], certificate: Path, key: Path, *, limits: bool = False
) -> list[str]:
    """Return the command that runs nginx with the shipped file, and this test's ports and paths. Without
    `limits`, one address may send any number of requests, as the load of a test does."""
    changes = {
        **({} if limits else {"rate=100r/s": "rate=100000r/s"}),
        "/var/cache/nginx": str(folder),
        "server 127.0.0.1:8081": f"server 127.0.0.1:{ports['one']}",
        "server 127.0.0.1:8082": f"server 127.0.0.1:{ports['two']}",
        # Here the same two instances are behind both listeners.
        "server 127.0.0.1:8083": f"server 127.0.0.1:{ports['one']}",
        "server 127.0.0.1:8084": f"server 127.0.0.1:{ports['two']}",
        "listen 443 ssl": f"listen 127.0.0.1:{ports['internet']} ssl",
        "listen 8443 ssl": f"listen 127.0.0.1:{ports['inside']} ssl",
        "/etc/nginx/tls/resolver.crt": str(certificate),
        "/etc/nginx/tls/resolver.key": str(key),
        "/run/nginx.pid": str(folder / "nginx.pid"),
        "/dev/stdout": str(folder / "access.log"),
    }
    config = changed((DEPLOY / "nginx/nginx.conf").read_text(), changes)
    (folder / "nginx.conf").write_text(config)
    # Where tests run as root, no other user may enter their folder, which holds nginx's temporary files.
    settings = "daemon off; user root;"
    return [_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", settings]


def haproxy(
    folder: Path, ports: Mapping[str, int], certificate: Path, key: Path, *, limits: bool = False
) -> list[str]:
    (folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    changes = {
        **({} if limits else {"sc0_http_req_rate gt 1000": "sc0_http_req_rate gt 1000000"}),
        "127.0.0.1:8081": f"127.0.0.1:{ports['one']}",
        "127.0.0.1:8082": f"127.0.0.1:{ports['two']}",
        "127.0.0.1:8083": f"127.0.0.1:{ports['one']}",
        "127.0.0.1:8084": f"127.0.0.1:{ports['two']}",
        "bind :443 ssl": f"bind 127.0.0.1:{ports['internet']} ssl",
        "bind :8443 ssl": f"bind 127.0.0.1:{ports['inside']} ssl",
        "/etc/haproxy/tls/resolver.pem": str(folder / "both.pem"),
        "/etc/haproxy/errors": str(DEPLOY / "haproxy/errors"),
    }
    config = changed((DEPLOY / "haproxy/haproxy.cfg").read_text(), changes)
    (folder / "haproxy.cfg").write_text(config)
    return [_program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def changed(text: str, changes: Mapping[str, str]) -> str:
    for shipped, here in changes.items():
        assert shipped in text, f"{shipped} is not in the shipped file any more"
        text = text.replace(shipped, here)
    return text


def _program(name: str) -> str:
    if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin"):
        return found
    pytest.skip(f"needs {name}")


class Balancer(Protocol):
    def __call__(
        self, folder: Path, ports: Mapping[str, int], certificate: Path, key: Path, *, limits: bool = False
    ) -> list[str]: ...


@contextmanager
def balanced(
    balancer: Balancer, environment: Mapping[str, str], folder: Path, *, limits: bool = False
) -> Iterator[Balanced]:
    """Run two instances, and this balancer in front of them."""
    numbers = free_ports(4)
    ports = dict(zip(("one", "two", "internet", "inside"), numbers, strict=True))
    certified = authority(folder)
    command = balancer(folder, ports, certified.certificate, certified.key, limits=limits)
    settings = {"WEB_CONCURRENCY": "1", "RESOLVER_TRUSTED_PROXIES": "1", **environment}
    with ExitStack() as stack:
        instances = []
        for name in ("one", "two"):
            instances.append(Instance(settings, ports[name], folder / f"{name}.log"))
            stack.callback(lambda instance: stop_child(instance.process), instances[-1])
        log = folder / "balancer.log"
        with log.open("wb") as output:
            process = start_child(command, stdout=output, stderr=output)
        stack.callback(stop_child, process)
        inside, internet = (f"https://127.0.0.1:{ports[name]}" for name in ("inside", "internet"))
        found = Balanced(inside, internet, certified.ca, instances, log, process.pid)
        wait_until_ready(f"{found.inside}/readyz", process, found.log, found.pool())
        yield found


@dataclass
class Traffic(Load):
    """One backend that adds and two browsers that read, on connections that are used without a pause and on
    one that is idle in between."""

    balanced: Balanced
    outcomes: Counter[str] = field(default_factory=Counter)
    added: list[str] = field(default_factory=list)
    _answered: list[int] = field(default_factory=lambda: [0] * CLIENTS)
    """Requests of each client that have ended."""

    def work(self) -> Sequence[Callable[[], None]]:
        return [self._adds, partial(self._reads, 1, 0.0), partial(self._reads, 2, IDLE_SECONDS)]

    def wait_for_a_round(self) -> None:
        """Wait until each client has begun a request and got its answer."""
        # The first of them may be under way already.
        wanted = [number + 2 for number in self._answered]
        until(lambda: all(map(operator.ge, self._answered, wanted)), "an answer to each client")

    def failures(self) -> dict[str, int]:
        return {what: number for what, number in self.outcomes.items() if not what.startswith("200")}

    def _adds(self) -> None:
        pool = self.balanced.pool()
        while not self._stop.is_set():
            id_ = f"n-{next(self._ids)}"
            data = {"data": notification(notificationId=id_)}
            if self.send(pool, self.balanced.inside, ADD, data) == 200:
                self.added.append(id_)
            self._answered[0] += 1

    def _reads(self, client: int, idle_seconds: float) -> None:
        pool = self.balanced.pool()
        body = {"organizationId": "acme", "notificationIds": ["n-0"]}
        while not self._stop.wait(idle_seconds):
            self.send(pool, self.balanced.internet, GET, body)
            self._answered[client] += 1

    def send(self, pool: urllib3.PoolManager, url: str, path: str, body: Any) -> int:
        headers = {"content-type": "application/json", **BACKEND}
        try:
            reply = pool.request("POST", url + path, body=orjson.dumps(body), headers=headers)
        except urllib3.exceptions.HTTPError as error:
            self.outcomes[f"{path} {type(error).__name__}"] += 1
            return 0
        text = "" if reply.status == 200 else f" {path} {reply.data[:80]!r}"
        self.outcomes[f"{reply.status}{text}"] += 1
        return reply.status
