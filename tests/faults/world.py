"""The environment of the operations: Redis and the Velt sandbox, proxies in front of them, and the resolver.

An operation goes through the proxies (`World.resolver`); its preparation and the checks of its outcome
don't."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
import urllib3
from click.testing import CliRunner
from redis import Redis

from resolver import clock
from resolver.app import create_app
from resolver.audit.trail import Trail
from resolver.cli import main
from resolver.cli.children import start_child, stop_child
from resolver.config import load
from resolver.errors import Unavailable, Unreadable
from resolver.notifications.finish_deletions import FinishDeletions
from resolver.outbox.worker import Worker
from resolver.privacy.eraser import Eraser
from resolver.store.keyspace import (
    COMMANDS_PATTERN,
    ERASURES,
    KNOWN_ERASURES,
    RECORD_PATTERN,
    SCAN_LEASE,
    UNFINISHED_DELETIONS,
    queue_of,
)
from resolver.wiring import (
    Stores,
    build_eraser,
    build_finish_deletions,
    build_stores,
    build_trail,
    build_worker,
)
from tests.faults.proxies import RedisProxy, Switch, VeltProxy
from tests.network import address_of
from tests.support import BACKEND, Api, Velt, keys_of, signed
from tests.system.conftest import RESOLVER, Served, plain_environment, serving, wait_until_ready
from tests.system.processes import web_processes_of
from tests.waiting import until

JSON = dict[str, Any]
Environment = dict[str, str]
PEOPLE, ORGANIZATIONS = ("ana", "ben", "cleo"), ("acme", "zeta")
CALLBACKS = "/api/velt/notifications"
REFUSED = ": refused"
QUEUES = "{p[0-9][0-9]}q"
_SURVIVES = (b"vnr:fingerprint", b"vnr:audit:")
_SETTLE_ROUNDS = 20


class Reply(NamedTuple):
    """The answer to a caller, or to an operator at a terminal. Status 0 means no reply, or a killed
    process."""

    status: int
    body: Any = None
    seconds: float = 0.0
    """The duration; 0 for a command, which has no time limit."""


class Resolver(Protocol):
    """The resolver behind the proxies, called as its callers call it."""

    def begin(self) -> None:
        """Prepare for an operation, so that its process remembers nothing of an earlier one that would
        count."""

    def call(self, path: str, body: Any, headers: JSON = BACKEND) -> Reply: ...

    def work(self) -> None:
        """Run a worker until no command waits, or the fault has struck."""

    def run(self, *arguments: str) -> Reply:
        """Run an operator's command. The status is 200 if it exits with 0."""


@dataclass
class World:
    redis_path: str
    redis: Redis
    velt: Velt
    folder: Path
    environment: Environment
    answers: JSON = field(default_factory=dict)
    """The sandbox's answers where Velt's documentation leaves them open."""
    switch: Switch = field(default_factory=Switch)
    _stack: ExitStack = field(default_factory=ExitStack)
    _apps: dict[tuple[tuple[str, str], ...], Api] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.velt_proxy = VeltProxy(self.switch, address_of(self.velt.url))
        self.certificates.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def running(self, *, processes: bool) -> Iterator[World]:
        with self._stack:
            redis_url = self._stack.enter_context(RedisProxy(self.switch, self.redis_path).running())
            velt_url = self._stack.enter_context(self.velt_proxy.running())
            self.faulty = {**self.environment, "REDIS_URL": redis_url, "VELT_API_URL": velt_url}
            self.repeater = InThisProcess(self)
            self.resolver: Resolver = self._in_processes() if processes else self.repeater
            try:
                yield self
            finally:
                self.close()

    def _in_processes(self) -> Resolver:
        variables = {**self.faulty, "RESOLVER_WORKER": "separate", "RESOLVER_LOG_LEVEL": "info"}
        served = self._stack.enter_context(serving(variables, self.folder / "web.log"))
        return InProcesses(self, variables, served)

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """Whether operations run in this process, where nothing is killed."""
        resolver, self.resolver = self.resolver, self.repeater
        self.repeater.begin()
        try:
            yield
        finally:
            self.resolver = resolver

    def close(self) -> None:
        """End the processes, and with them their audit chains."""
        self._stack.close()
        self.repeater.end()
        self.renew()
        self.trail.close()

    def logs(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.folder.glob("*.log"))

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def audit_log(self) -> Path:
        return Path(self.environment["RESOLVER_AUDIT_LOG"])

    @cached_property
    def stores(self) -> Stores:
        """Stores that read even while the database is gated."""
        return build_stores(load(self.environment), replaying=True)

    @cached_property
    def trail(self) -> Trail:
        return build_trail(load(self.environment), self.stores)

    def api(self, **changes: str) -> Api:
        """Return the application, connected to the servers directly."""
        key = tuple(sorted(changes.items()))
        if key not in self._apps:
            app = create_app(load({**self.environment, **changes}))
            self._apps[key] = Api(app.test_client(use_cookies=False))
        return self._apps[key]

    def renew(self) -> None:
        """Start the application anew: it trusts for a second that its database is the same."""
        while self._apps:
            self._apps.popitem()[1].services.trail.close()

    def run(self, *arguments: str, **changes: str) -> Reply:
        """Run an operator's command, connected to the servers directly."""
        return run_command({**self.environment, **changes}, *arguments)

    def eraser(self) -> Eraser:
        return build_eraser(load(self.environment), self.stores, self.trail)

    def finish_deletions(self) -> FinishDeletions:
        """A minute later: the requests have ended."""
        finish = build_finish_deletions(self.stores, self.trail)
        finish.now = lambda: clock.milliseconds() + 60_000
        return finish

    @cached_property
    def worker(self) -> Worker:
        """The worker behind the proxies. It is the same for all points, since a fault must have no lasting
        effect on it."""
        return build_worker(load(self.faulty))

    def clear(self) -> None:
        self.clear_redis()
        self.velt.control("POST", "reset")
        self.velt.mend()
        self.velt.control("POST", "answers", self.answers)
        for path in self.certificates.iterdir():
            path.unlink()

    def clear_redis(self) -> None:
        """Delete everything but what long-lived processes have stored once."""
        if names := [name for name in keys_of(self.redis, "*") if not name.startswith(_SURVIVES)]:
            self.redis.delete(*names)

    def is_waiting(self) -> bool:
        """Whether a command waits for Velt."""
        return bool(keys_of(self.redis, QUEUES))

    def is_erasing(self) -> bool:
        return bool(self.redis.exists(ERASURES))

    def is_deleting(self) -> bool:
        """Whether a deletion without ids was interrupted."""
        return bool(self.redis.exists(UNFINISHED_DELETIONS))

    def is_gated(self) -> bool:
        """Whether erasures must be replayed before anything is served."""
        known = {_bytes(name).decode() for name in self.redis.smembers(KNOWN_ERASURES)}
        return not {path.stem for path in self.certificates.iterdir()} <= known

    def let_leases_run_out(self) -> None:
        """Let time pass, so that the claims of a dead process can be claimed again."""
        for queue in keys_of(self.redis, QUEUES):
            self.redis.zadd(queue, {member: 0 for member, _ in self.redis.zscan_iter(queue)}, xx=True)
        self.redis.delete(SCAN_LEASE)

    def settle(self) -> None:
        """Run workers until no command waits and every erasure and deletion is finished. While the database
        is gated, none runs."""
        for _ in range(_SETTLE_ROUNDS):
            self.let_leases_run_out()
            if self.is_gated():
                return
            self.drain(lambda: False)
            if self.is_deleting():
                self.finish_deletions().round()
            elif self.is_erasing():
                self.eraser().round()
            else:
                return

    def drain(self, is_over: Callable[[], bool]) -> None:
        """Run the worker until nothing waits, or something else has happened."""
        if not self.is_waiting():
            return
        stop = threading.Event()
        thread = threading.Thread(target=self.worker.run, args=(stop,))
        thread.start()
        try:
            until(lambda: self._is_drained(thread, is_over), "an empty outbox", seconds=15, pause=0.01)
        finally:
            stop.set()
            self.worker.wake()
            thread.join(15)
        assert not thread.is_alive(), "the worker doesn't stop"

    def _is_drained(self, thread: threading.Thread, is_over: Callable[[], bool]) -> bool:
        if not self.is_waiting() or is_over():
            return True
        assert thread.is_alive(), "the worker ended by itself"
        self.worker.wake()
        return False

    def snapshot(self) -> list[str]:
        """Return what people read, what Velt holds, and all dead letters, with one name for every minted
        id."""
        rows = self.velt.control("GET", "notifications")["notifications"]
        held = list(self.stores.store.scan())
        ids = {(row["organizationId"], row["id"]) for row in rows}
        ids |= {(record.organization, record.notification) for record in held}
        found = [f"velt: {_plain(_without_times(row))}" for row in rows]
        found += [f"held: {record.organization} {record.notification}" for record in held]
        found += [f"read: {line}" for line in self._reads(ids)]
        found += [
            f"dead: {_plain(letter.command.data)}"
            for letter in self.stores.outbox.dead_letters.all()
            if letter.command
        ]
        return sorted(re.sub(r"(?<![\w-])[\w-]{24}(?![\w-])", "MINTED", line) for line in found)

    def _reads(self, ids: set[tuple[str, str]]) -> Iterator[str]:
        api = self.api()
        for organization in ORGANIZATIONS:
            asked = sorted(id_ for where, id_ in ids if where == organization)
            for user in PEOPLE if asked else ():
                bearer = {"authorization": f"Bearer {signed(user, organization)}"}
                body = {"organizationId": organization, "notificationIds": asked}
                reply = api.post(f"{CALLBACKS}/get", body, bearer)
                given = reply.get_json().get("data", {}) if reply.status_code == 200 else {}
                if reply.status_code != 200:
                    yield f"{organization} {user}{REFUSED}"
                yield from (f"{organization} {user}: {_plain(content)}" for content in given.values())

    def everything_opened(self, stores: Stores | None = None) -> bytes:
        """Return everything that any key opens: records, commands, what a refused add would restore, dead
        letters. Raises Unreadable if something doesn't open."""
        stores = stores or self.stores
        open_ = stores.envelope.open
        found = [open_(name.decode(), _bytes(self.redis.get(name))) for name in self._names(RECORD_PATTERN)]
        for name in map(bytes.decode, self._names(COMMANDS_PATTERN)):
            fields = {_bytes(place): _bytes(sealed) for place, sealed in self.redis.hgetall(name).items()}
            found += [
                open_(name, sealed) for place, sealed in fields.items() if place.isdigit() or place == b"u"
            ]
            if previous := fields.get(b"p"):
                found.append(open_(queue_of(name).record, previous))
        letters = list(stores.outbox.dead_letters.all())
        found += [letter.command.to_bytes() for letter in letters if letter.command]
        if not all(letter.command for letter in letters):
            raise Unreadable
        return b"\n".join(found)

    def _names(self, pattern: str) -> list[bytes]:
        return keys_of(self.redis, pattern)

    def values_in_redis(self) -> bytes:
        return b"\n".join(part for name in self._names("*") for part in (name, *self._values(name)))

    def _values(self, name: bytes) -> list[bytes]:
        match self.redis.type(name):
            case b"string":
                return [_bytes(self.redis.get(name))]
            case b"hash":
                return [_bytes(part) for pair in self.redis.hgetall(name).items() for part in pair]
            case b"set":
                return [_bytes(member) for member in self.redis.smembers(name)]
            case _:
                return [_bytes(member) for member, _ in self.redis.zscan_iter(name)]

    def audit_lines(self) -> list[JSON]:
        if not self.audit_log.exists():
            return []
        lines = self.audit_log.read_bytes().splitlines()
        return [orjson.loads(line) for line in lines]


@dataclass
class InThisProcess:
    """The resolver's application, worker and commands, in threads of this process."""

    world: World
    _opened: list[Api] = field(default_factory=list)

    def begin(self) -> None:
        if self.world.switch.upsets_breakers():
            self.end()
        if not self._opened:
            app = create_app(load(self.world.faulty))
            self._opened.append(Api(app.test_client(use_cookies=False)))
        # The connection and the check of the database's identity are not part of an operation.
        self._opened[0].services.store.state()
        self._stores.store.state()

    def end(self) -> None:
        while self._opened:
            self._opened.pop().services.trail.close()

    @cached_property
    def _stores(self) -> Stores:
        return build_stores(load(self.world.faulty))

    def call(self, path: str, body: Any, headers: JSON = BACKEND) -> Reply:
        began = time.monotonic()
        reply = self._opened[0].post(path, body, headers)
        return Reply(reply.status_code, reply.get_json(silent=True), time.monotonic() - began)

    def work(self) -> None:
        switch = self.world.switch
        while not switch.struck and (self.world.is_waiting() or self.world.is_erasing()):
            if self.world.is_erasing():
                eraser = build_eraser(load(self.world.faulty), self._stores, self.world.trail)
                with suppress(Unavailable):
                    eraser.round()
            if not switch.struck:
                self.world.drain(lambda: bool(switch.struck))

    def run(self, *arguments: str) -> Reply:
        return run_command(self.world.faulty, *arguments)


@dataclass
class InProcesses:
    """gunicorn, workers and commands as they run in production, which faults can kill."""

    world: World
    variables: Environment
    served: Served

    def begin(self) -> None:
        until(lambda: bool(web_processes_of(self.served.process.pid)), "a web process")
        wait_until_ready(f"{self.served.url}/readyz", self.served.process, self.world.folder / "web.log")

    def call(self, path: str, body: Any, headers: JSON = BACKEND) -> Reply:
        (web,) = web_processes_of(self.served.process.pid)
        self.world.switch.victim = lambda: web
        given = {"content-type": "application/json", **headers}
        began = time.monotonic()
        try:
            reply = urllib3.request(
                "POST",
                self.served.url + path,
                body=orjson.dumps(body),
                headers=given,
                retries=False,
                timeout=10,
            )
            return Reply(reply.status, reply.json(), time.monotonic() - began)
        except urllib3.exceptions.HTTPError:
            return Reply(0)

    def work(self) -> None:
        world = self.world
        if world.switch.struck or not (world.is_waiting() or world.is_erasing()):
            return
        with (world.folder / "worker.log").open("ab") as log:
            worker = start_child(
                [*RESOLVER, "worker"], plain_environment(self.variables), stdout=log, stderr=log
            )
        world.switch.victim = lambda: worker.pid
        try:
            until(lambda: bool(world.switch.struck) or not (world.is_waiting() or world.is_erasing()), "work")
        finally:
            stop_child(worker)

    def run(self, *arguments: str) -> Reply:
        with (self.world.folder / "command.log").open("ab") as log:
            command = start_child(
                [*RESOLVER, *arguments], plain_environment(self.variables), stdout=log, stderr=log
            )
        self.world.switch.victim = lambda: command.pid
        try:
            return Reply(500 if command.wait(60) > 0 else 200 if command.returncode == 0 else 0)
        except subprocess.TimeoutExpired:
            stop_child(command)
            return Reply(500, "no end")


def run_command(env: Environment, *arguments: str) -> Reply:
    done = CliRunner().invoke(main, list(arguments), env=env)
    if done.exception and not isinstance(done.exception, SystemExit):
        # In production the process would have ended with this traceback.
        return Reply(500, repr(done.exception))
    return Reply(200, done.stdout) if done.exit_code == 0 else Reply(500, done.stdout or done.output)


def last_json(output: str) -> Any:
    return json.loads(output.splitlines()[-1])


def _bytes(value: bytes | str | None) -> bytes:
    assert isinstance(value, bytes)
    return value


def _without_times(row: JSON) -> JSON:
    return {name: value for name, value in row.items() if name != "timestamp"}


def _plain(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
