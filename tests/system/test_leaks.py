"""Canaries go through every endpoint, and are then searched for in all that Velt, Redis, logs and clients
got.

Each field that may hold content or personal data gets an unguessable word. Afterwards these words are in
the answers that exist to return them (the data provider's, the backend's own get, the export), and nowhere
else."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from redis import Redis

from resolver.cli.local_redis import LocalRedis
from tests.support import BACKEND, Velt, everything_in, keys_of, notification
from tests.system.conftest import Served, serving
from tests.waiting import until

pytestmark = pytest.mark.system

JSON = dict[str, Any]
# Ids are in plain text at Velt, which needs them, and in the audit trail, but not in Redis.
ANA, BEN, CLEO = "person-ana-7f3a", "person-ben-9c1e", "person-cleo-41d0"
ORGANIZATION = "organization-5d2b"
PRIVACY = {"authorization": "Bearer privacy-token-for-tests-0123456789abcdef"}
METRICS = {"authorization": "Bearer metrics-token-for-tests-0123456789abcdef"}

GIVES_CONTENT = ("/api/velt/notifications/get", "/v2/notifications/get", "/privacy/export")


@dataclass
class Canaries:
    words: dict[str, str] = field(default_factory=dict)

    def __call__(self, place: str) -> str:
        return self.words.setdefault(place, f"canary{secrets.token_hex(12)}")

    def in_(self, seen: bytes | str) -> list[str]:
        text = seen if isinstance(seen, bytes) else seen.encode()
        return [place for place, word in self.words.items() if word.encode() in text]


@contextmanager
def monitored(redis_server: LocalRedis) -> Iterator[list[str]]:
    """Collect every command that Redis executes while the block runs, as MONITOR prints it."""
    seen: list[str] = []
    # There may be no command for some seconds, while a resolver stops on a busy machine.
    client = Redis.from_url(redis_server.url, socket_timeout=30)
    ready, done = threading.Event(), threading.Event()

    def listen() -> None:
        with client.monitor() as monitor:  # type: ignore[no-untyped-call]
            ready.set()
            for command in monitor.listen():
                seen.append(command["command"])
                if "the end of the watch" in command["command"]:
                    done.set()
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(5)
    yield seen
    with Redis.from_url(redis_server.url) as last:
        last.echo("the end of the watch")
    assert done.wait(5)
    thread.join()
    client.close()


@dataclass
class Caller:
    """A client that keeps the errors it got, and all other answers but the two that may hold content."""

    served: Served
    answers: list[bytes] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def post(self, path: str, body: Any, headers: dict[str, str] = BACKEND) -> urllib3.BaseHTTPResponse:
        return self.call("POST", path, orjson.dumps(body), headers)

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] = BACKEND
    ) -> urllib3.BaseHTTPResponse:
        reply = urllib3.request(
            method,
            self.served.url + path,
            body=body,
            headers={"content-type": "application/json", **headers},
            retries=False,
            timeout=10,
        )
        self.statuses.add(reply.status)
        if path not in GIVES_CONTENT or reply.status != 200:
            self.answers.append(reply.data)
        return reply


def person(canary: Canaries, user: str, where: str) -> JSON:
    details = ("name", "email", "photoUrl", "color", "textColor", "initial", "type", "plan", "groupId")
    nested = {"contacts": [{"userId": CLEO, "name": canary(f"{where} contact")}]}
    return {"userId": user, **{name: canary(f"{where} {name}") for name in details}, **nested}


def full(canary: Canaries, **changes: Any) -> JSON:
    """Return an add with a canary in each field that may hold content."""
    return notification(
        organizationId=ORGANIZATION,
        actionUser=person(canary, ANA, "actionUser"),
        notifyUsers=[person(canary, BEN, "notifyUsers"), {"userId": CLEO}],
        displayHeadlineMessageTemplate=f"{{actionUser}} {canary('headline')}",
        displayHeadlineMessageTemplateData={"recipientUser": person(canary, BEN, "template data")},
        displayBodyMessage=canary("body"),
        displayBodyMessageTemplate=canary("body template"),
        displayBodyMessageTemplateData={canary("body data key"): canary("body data")},
        metadata={canary("metadata key"): canary("metadata")},
        location={"id": "loc-1", "locationName": canary("location")},
        context={"access": {"team": "red"}, "note": canary("context")},
        notificationSourceData={canary("source data key"): [canary("source data")]},
        **{canary("custom key"): canary("custom"), "timestamp": canary("timestamp"), **changes},
    )


def write(caller: Caller, canary: Canaries) -> None:
    add = full(canary)
    assert caller.post("/v2/notifications/add", {"data": add}).status == 200
    caller.post("/v2/notifications/add", {"data": {**add, "notificationId": canary("bad id") + " !"}})
    caller.post("/v2/notifications/add", {"data": {**add, "actionUser": {"name": canary("no id")}}})
    caller.call("POST", "/v2/notifications/add", b'{"data": "' + canary("half a body").encode())
    entry = {
        "displayBodyMessage": canary("updated body"),
        "actionUser": person(canary, ANA, "updated actionUser"),
        "notifyUsers": [person(canary, BEN, "updated notifyUsers"), {"userId": CLEO}],
        "metadata": {"a": canary("updated metadata")},
        canary("updated custom key"): canary("updated custom"),
    }
    for id_ in ("n-1", "not-held"):
        update = {"organizationId": ORGANIZATION, "notifications": [{**entry, "id": id_}]}
        caller.post("/v2/notifications/update", {"data": update})


def read(caller: Caller, canary: Canaries) -> bytes:
    """Return what the data provider's get answered."""
    scope = {"organizationId": ORGANIZATION, "documentId": "doc-1"}
    caller.post("/v2/notifications/get", {"data": {**scope, "unknown": canary("get")}})
    wanted = {"userId": BEN, "organizationIds": [ORGANIZATION]}
    bearer = {"authorization": f"Bearer {caller.post('/api/velt/token', wanted).json()['token']}"}
    ids = {"organizationId": ORGANIZATION, "notificationIds": ["n-1"]}
    found = caller.post("/api/velt/notifications/get", ids, bearer).data
    caller.post("/api/velt/notifications/get", {"notificationIds": [{"x": canary("bad ids")}]}, bearer)
    caller.post("/api/velt/notifications/get", ids, {"authorization": f"Bearer {canary('token')}"})
    return found


def fail(caller: Caller, canary: Canaries, velt: Velt, redis: Redis) -> None:
    """Cause each kind of failure: Velt refuses at once; Velt refuses later, so that the command is
    dead-lettered; Velt is unreachable; Redis fails."""
    velt.break_with(path="/v2/notifications/add", status=400, errorStatus="INVALID_ARGUMENT", count=1)
    assert caller.post("/v2/notifications/add", {"data": full(canary, notificationId="no")}).status == 400
    velt.break_with(path="/v2/notifications/add", status=503, count=1)
    velt.break_with(path="/v2/notifications/add", status=400, errorStatus="INVALID_ARGUMENT", count=1)
    assert caller.post("/v2/notifications/add", {"data": full(canary, notificationId="dead")}).status == 200
    until(lambda: any(redis.hlen(f"{{p{n:02d}}}d") for n in range(64)), "a command is dead")
    before = set(keys_of(redis, "*n:*"))
    assert caller.post("/v2/notifications/add", {"data": full(canary, notificationId="broken")}).status == 200
    (broken,) = set(keys_of(redis, "*n:*")) - before
    redis.delete(broken)
    redis.rpush(broken, "not a string")
    assert caller.post("/v2/notifications/add", {"data": full(canary, notificationId="broken")}).status >= 500
    redis.delete(broken)
    redis.set(broken, b"\x01 not sealed at all")
    velt.break_with(status=500)
    assert caller.post("/v2/notifications/add", {"data": full(canary, notificationId="waits")}).status == 200


def privacy(caller: Caller, velt: Velt) -> bytes:
    """Return what the export answered. Then erase ben, with an outage of Velt in between."""
    exported = caller.post("/privacy/export", {"userIds": [ANA]}, PRIVACY).data
    erasure = caller.post("/privacy/erase", {"userIds": [BEN]}, PRIVACY).json()["erasureId"]
    path = f"/privacy/erasures/{erasure}"

    def status() -> str:
        return str(caller.call("GET", path, headers=PRIVACY).json()["status"])

    until(lambda: status() == "telling", "content is gone")
    velt.mend()
    until(lambda: status() == "done", "there is a certificate")
    caller.call("GET", "/metrics", headers=METRICS)
    return exported


def test_canaries_are_returned_to_authorized_readers_and_appear_nowhere_else(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    canary = Canaries()
    server = LocalRedis(tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"])
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    environment = {
        **resolver_environment,
        "REDIS_URL": server.url,
        "RESOLVER_LOG_LEVEL": "debug",
        "RESOLVER_AUDIT_LOG": str(tmp_path / "audit.log"),
        "RESOLVER_CERTIFICATE_DIR": str(certificates),
        "RESOLVER_PRIVACY_TOKENS": f"dpo:{PRIVACY['authorization'].removeprefix('Bearer ')}",
        "RESOLVER_METRICS_TOKEN": METRICS["authorization"].removeprefix("Bearer "),
    }
    try:
        with Redis.from_url(server.url) as redis, monitored(server) as commands:
            with serving(environment, tmp_path / "log") as served:
                caller = Caller(served)
                write(caller, canary)
                given = read(caller, canary)
                fail(caller, canary, velt, redis)
                full_dump = everything_in(redis)
                exported = privacy(caller, velt)
            log = served.log
            dump = full_dump + everything_in(redis)
    finally:
        server.stop()
    append_only = b"".join(
        path.read_bytes() for path in (tmp_path / "redis").rglob("*.aof*") if path.is_file()
    )
    trail = (tmp_path / "audit.log").read_bytes()
    certificate = b"".join(path.read_bytes() for path in certificates.iterdir())
    velts = "".join(entry["raw"] for entry in velt.ledger())

    given_places, exported_places = canary.in_(given), canary.in_(exported)
    assert {"headline", "updated body", "updated actionUser name", "custom"} <= set(given_places)
    assert {"metadata", "metadata key", "context", "location"}.isdisjoint(given_places), "for backends alone"
    assert {"headline", "body", "actionUser email", "metadata", "context"} <= set(exported_places)
    assert {400, 401, 503} <= caller.statuses
    looked_at: dict[str, bytes | str] = {
        "what Velt got": velts,
        "the dump of Redis": dump,
        "what MONITOR showed": "\n".join(commands),
        "the append-only file": append_only,
        "standard output and error": log,
        "the audit trail": trail,
        "certificates": certificate,
        "other answers, errors and metrics": b"\n".join(caller.answers),
    }
    assert {where: canary.in_(seen) for where, seen in looked_at.items()} == {
        where: [] for where in looked_at
    }
    assert all(len(seen) > 100 for seen in looked_at.values()), "there was something to look into"
    for secret in ("example.com", ORGANIZATION, ANA, BEN, CLEO, "displayBodyMessage", "doc-1", "loc-1"):
        assert secret.encode() not in dump + append_only + "\n".join(commands).encode()
        assert secret not in log
    assert b'"action":"erase"' in trail
    assert b"resolver_outbox_dead 1" in b"\n".join(caller.answers)
    assert "/v2/notifications/add" in log
