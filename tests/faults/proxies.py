"""Proxies in front of Redis and Velt that pass on one request at a time, count them, and lose the n-th.

A request and its reply are one exchange. When an exchange is lost, its request has not reached the server or
its reply has not reached the client, and the connection ends. Background requests (heartbeats, clocks, the
search for work) are passed on and not counted, so that n means the same in each run."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, NamedTuple

import resolver
from tests.network import Address, listening, read_request, relay
from tests.system.processes import is_running
from tests.waiting import until

_BACKGROUND = {
    *("HELLO", "CLIENT", "AUTH", "SELECT", "PING", "TIME", "INFO", "DBSIZE", "SCRIPT", "COMMAND"),
    *("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "ZRANGEBYSCORE", "SMISMEMBER"),
}
_READS = {"GET", "MGET", "GETRANGE", "HGET", "HGETALL", "HSCAN", "SCAN", "EXISTS"}
_SCRIPTS = {
    hashlib.sha1(path.read_bytes()).hexdigest(): path.stem
    for path in Path(resolver.__file__).parent.rglob("scripts/*.lua")
}
_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2}


class Loss(Enum):
    REQUEST = auto()
    """The server never receives the request."""
    REPLY = auto()
    """The server has done the request, and the client gets no reply."""
    NOTHING = auto()
    """The server does another caller's request, then this one."""


class Fault(NamedTuple):
    """The fate of the n-th exchange of an operation."""

    name: str
    service: str
    loss: Loss
    kills: bool = False
    """Whether the process that made the exchange is killed."""
    lasts: bool = False
    """Whether every later exchange with this service is lost too, until the operation has ended."""


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("request-lost", "redis", Loss.REQUEST),
        Fault("reply-lost", "redis", Loss.REPLY),
        Fault("redis-gone", "redis", Loss.REQUEST, lasts=True),
        Fault("velt-request-lost", "velt", Loss.REQUEST),
        Fault("velt-reply-lost", "velt", Loss.REPLY),
        Fault("velt-gone", "velt", Loss.REQUEST, lasts=True),
        Fault("overtaken", "redis", Loss.NOTHING),
        Fault("velt-overtaken", "velt", Loss.NOTHING),
        Fault("killed-before", "redis", Loss.REQUEST, kills=True),
        Fault("killed-after", "redis", Loss.REPLY, kills=True),
        Fault("velt-killed-before", "velt", Loss.REQUEST, kills=True),
        Fault("velt-killed-after", "velt", Loss.REPLY, kills=True),
    )
}


@dataclass
class Switch:
    """Count the exchanges of an operation while armed, and decide which of them is lost."""

    victim: Callable[[], int] = lambda: 0
    """The process that makes the exchanges now."""
    rival: Callable[[], None] = lambda: None
    """Another caller's request, which reaches the servers directly."""
    struck: str = ""
    """The exchange that was lost."""
    seen: dict[str, list[str]] = field(default_factory=dict)
    """The exchanges since it was armed, by service."""
    _fault: Fault | None = None
    _n: int = 0
    _is_armed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def armed(self, fault: Fault | None, n: int) -> Iterator[None]:
        with self._lock:
            self._fault, self._n, self.struck, self.seen, self._is_armed = fault, n, "", {}, True
        try:
            yield
        finally:
            with self._lock:
                self._is_armed = False

    def accepts(self, service: str) -> bool:
        """Whether a new connection is accepted."""
        with self._lock:
            return not self._is_gone(service)

    def lost(self, service: str, name: str) -> Loss | None:
        """Return the fate of this exchange. An empty name means a background request."""
        with self._lock:
            if not self._is_armed:
                return None
            if self._is_gone(service):
                return Loss.REQUEST
            if not self._counts(service, name):
                return None
            if self.struck or not self._fault or self._fault.service != service:
                return None
            if len(self.seen[service]) != self._n:
                return None
            self.struck = name
            return self._fault.loss

    def upsets_breakers(self) -> bool:
        """Whether the last fault left a circuit breaker open, which would affect the next operation."""
        return self._fault is not None and (self._fault.service == "velt" or self._fault.lasts)

    def kill_if_meant(self) -> None:
        if self._fault and self._fault.kills and (pid := self.victim()):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not is_running(pid), "the end of a killed process")

    def _is_gone(self, service: str) -> bool:
        fault = self._fault if self._is_armed and self.struck else None
        return fault is not None and fault.lasts and fault.service == service

    def _counts(self, service: str, name: str) -> bool:
        """Whether this request counts. Consecutive reads of one kind count as one exchange, since 64
        partitions are read in turn."""
        seen = self.seen.setdefault(service, [])
        if not name or (seen and seen[-1] == name and name.partition(" ")[0] in _READS):
            return False
        seen.append(name)
        return True


class Request(NamedTuple):
    raw: bytes
    name: str
    """An empty name means a background request."""
    streams: bool = False
    """Whether replies come one by one for as long as the connection lasts."""


@dataclass(frozen=True)
class RedisProxy:
    switch: Switch
    upstream: str
    """Path of the server's socket."""

    @contextmanager
    def running(self) -> Iterator[str]:
        with listening(self._serve) as (host, port):
            yield f"redis://{host}:{port}/0"

    def _serve(self, connection: socket.socket) -> None:
        if not self.switch.accepts("redis"):
            return
        with socket.socket(socket.AF_UNIX) as onward:
            onward.connect(self.upstream)
            with connection.makefile("rb") as asked, onward.makefile("rb") as answered:
                while request := _redis_request(asked):
                    if not self._pass(request, connection, onward, answered):
                        return

    def _pass(
        self, request: Request, connection: socket.socket, onward: socket.socket, answered: BinaryIO
    ) -> bool:
        """Pass on one exchange, and return whether the connection stays open."""
        loss = self.switch.lost("redis", request.name)
        if loss is Loss.NOTHING:
            self.switch.rival()
        if loss is Loss.REQUEST:
            self.switch.kill_if_meant()
            return False
        onward.sendall(request.raw)
        if request.streams:
            relay(connection, onward)
            return False
        reply = _redis_reply(answered)
        if loss is Loss.REPLY:
            self.switch.kill_if_meant()
            return False
        connection.sendall(reply)
        return True


def _redis_request(asked: BinaryIO) -> Request | None:
    head = asked.readline()
    if not head:
        return None
    raw, words = [head], []
    for _ in range(int(head[1:])):
        length = asked.readline()
        text = asked.read(int(length[1:]) + 2)
        raw += [length, text]
        words.append(text[:-2])
    verb = words[0].decode().upper()
    return Request(b"".join(raw), _name(verb, words), verb == "SUBSCRIBE")


def _name(verb: str, words: list[bytes]) -> str:
    """Return the command and the kind of its key; an empty string for background requests."""
    if verb in _BACKGROUND or len(words) < 2:
        return ""
    if verb.startswith("EVAL"):
        key, verb = words[3], _SCRIPTS.get(words[1].decode(), "script")
    else:
        key = words[3] if verb == "SCAN" else words[1]
    if key.startswith(b"vnr:"):
        return ""
    return f"{verb} {re.sub(r'[0-9]{2}}', '}', key.decode().partition(':')[0])}"


def _redis_reply(answered: BinaryIO) -> bytes:
    head = answered.readline()
    if not head:
        raise ConnectionError
    kind, rest = head[:1], head[1:].strip()
    if kind in b"$=!":
        return head + (answered.read(int(rest) + 2) if rest != b"-1" else b"")
    if kind in _AGGREGATES and rest != b"-1":
        return head + b"".join(_redis_reply(answered) for _ in range(int(rest) * _AGGREGATES[kind]))
    return head


@dataclass(frozen=True)
class VeltProxy:
    switch: Switch
    upstream: Address
    sent: list[bytes] = field(default_factory=list)
    """The bodies of all requests, including lost ones."""

    @contextmanager
    def running(self) -> Iterator[str]:
        with listening(self._serve) as (host, port):
            yield f"http://{host}:{port}"

    def _serve(self, connection: socket.socket) -> None:
        if not self.switch.accepts("velt"):
            return
        with socket.create_connection(self.upstream) as onward:
            while request := read_request(connection):
                self.sent.append(request)
                loss = self.switch.lost("velt", request.split(b" ", 2)[1].decode())
                if loss is Loss.NOTHING:
                    self.switch.rival()
                if loss is Loss.REQUEST:
                    self.switch.kill_if_meant()
                    return
                onward.sendall(request)
                reply = read_request(onward)
                if loss is Loss.REPLY:
                    self.switch.kill_if_meant()
                    return
                connection.sendall(reply)
