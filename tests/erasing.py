"""Erasures in this process, as the worker carries them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from click.testing import CliRunner, Result
from redis import Redis

from resolver import clock
from resolver.cli import main
from resolver.privacy.eraser import Eraser
from resolver.privacy.erasure_request import ErasureRequest, new_id
from resolver.privacy.erasures import Erasures
from resolver.store.keyspace import CERTIFICATES
from tests.cli.test_rotation import drained
from tests.support import Api

JSON = dict[str, Any]
Environment = dict[str, str]
MakeApi = Callable[..., Api]
MakeEraser = Callable[..., Eraser]
CALLBACKS = "/api/velt/notifications"


def erasure_request(*users: str, **more: Any) -> ErasureRequest:
    return ErasureRequest(new_id(), "dpo", clock.now(), users=users, **more)


def erasures_of(eraser: Eraser) -> Erasures:
    return Erasures(eraser.erasure_store, lambda: (eraser.signer.public_key,))


def filed(eraser: Eraser, what: ErasureRequest) -> Erasures:
    erasures = erasures_of(eraser)
    erasures.file(what)
    return erasures


def continued(eraser: Eraser) -> Eraser:
    """The eraser of a process that goes on from there: it has polled nothing yet, so it doesn't wait."""
    return replace(eraser)


def done(eraser: Eraser, env: Environment, what: ErasureRequest) -> JSON:
    """File an erasure, carry it out, send it to Velt, and certify it."""
    erasures = erasures_of(eraser)
    if erasures.find(what.id) is None:
        erasures.file(what)
    eraser.round()
    drained(env)
    for _ in range(5):
        continued(eraser).round()
    found = erasures.find(what.id)
    assert found is not None
    assert found["status"] == "done", found
    return found


def forge(redis: Redis, id_: str) -> None:
    """Change a count under the existing signature, as an attacker could who can write to Redis."""
    kept = redis.hget(CERTIFICATES, id_)
    assert isinstance(kept, bytes)
    whole = orjson.loads(kept)
    whole["certificate"]["counts"]["removed"] = 999
    redis.hset(CERTIFICATES, id_, orjson.dumps(whole))


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["privacy", *arguments], env=env)
