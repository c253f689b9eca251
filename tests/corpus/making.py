"""The content of a corpus: one of everything that is stored."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import jwt
from click.testing import CliRunner
from redis import Redis

from resolver.cli import main
from resolver.config import load
from resolver.wiring import build_eraser, build_stores, build_trail
from tests.corpus import store
from tests.erasing import done, erasure_request
from tests.support import BACKEND, TOKEN_SECRET, Api, Velt, notification

IDEMPOTENT = "order-1042-shipped"
PENDING, REFUSED = "pending", "refused"
READERS = ("ana", "ben", "cleo", "mallory")


def make(
    make_api: Callable[..., Api],
    environment: dict[str, str],
    redis: Redis,
    velt: Velt,
    *,
    folder: Path,
    scratch: Path,
) -> None:
    """Store one of everything, and write it to the folder."""
    folder.mkdir(exist_ok=True)
    trail, certificates = scratch / "audit.log", scratch / "certificates"
    certificates.mkdir()
    environment |= {"RESOLVER_AUDIT_LOG": str(trail), "RESOLVER_CERTIFICATE_DIR": str(certificates)}
    api = make_api()
    _erase_a_person(api, environment)
    _leave_a_dead_letter(make_api(RESOLVER_REGISTRATION="deferred"))
    idempotent = _add_some(api, velt)
    revoked = _revoked_token(api, environment)
    ids = ["named", "everyone", "narrowed", "dismissed", PENDING, idempotent, "absent"]
    asked = {"organizationId": "acme", "notificationIds": ids}
    read = {user: api.callback("get", asked, user).get_json()["data"] for user in READERS}
    api.services.trail.close()
    store.save(redis, folder / "redis.json")
    shutil.copyfile(trail, folder / "audit.log")
    (certificate,) = certificates.iterdir()
    shutil.copyfile(certificate, folder / "certificate.json")
    expected = {"ids": ids, "read": read, "idempotent": idempotent, "revoked": revoked}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", "utf-8")


def _add_some(api: Api, velt: Velt) -> str:
    """Add notifications, and return the id that an Idempotency-Key stands for."""
    everybody = {"notifyUsers": [], "notifyAll": True}
    context = {"access": {"team": "red"}}
    for changes in (
        {"notificationId": "named"},
        {"notificationId": "everyone", **everybody, "metadata": {"custom": {"order": 1042}}},
        {"notificationId": "narrowed", **everybody, "context": context, "location": {"id": 7}},
        {"notificationId": "dismissed", "notifyUsers": [{"userId": "ben"}, {"userId": "cleo"}]},
    ):
        assert api.add(**changes).status_code == 200, changes
    assert (
        api.callback("delete", {"organizationId": "acme", "notificationId": "dismissed"}).status_code == 200
    )
    once = notification(displayBodyMessage="CANARY once")
    del once["notificationId"]
    key = {**BACKEND, "idempotency-key": IDEMPOTENT}
    reply = api.post("/v2/notifications/add", {"data": once}, key)
    velt.break_with(drop="before")
    assert api.add(notificationId=PENDING).get_json()["result"]["data"]["registration"] == "pending"
    velt.mend()
    return str(reply.get_json()["result"]["data"]["notificationId"])


def _revoked_token(api: Api, environment: dict[str, str]) -> str:
    """Make a token that never expires, and revoke it."""
    claims = {"sub": "dora", "organizationIds": ["acme"], "iat": int(time.time()) - 60, "exp": 2**33}
    token = jwt.encode(claims, TOKEN_SECRET, algorithm="HS256")
    arguments = ["tokens", "revoke", "--user", "dora"]
    assert CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False).exit_code == 0
    bearer = {"authorization": f"Bearer {token}"}
    asked = {"organizationId": "acme", "notificationIds": ["named"]}
    assert api.post("/api/velt/notifications/get", asked, bearer).status_code == 401
    return token


def _leave_a_dead_letter(deferred: Api) -> None:
    assert deferred.add(notificationId=REFUSED).status_code == 200
    outbox = deferred.services.outbox
    (line,) = outbox.due()
    claimed = outbox.claim(line)
    assert claimed is not None
    assert outbox.dead_letter(claimed, "INVALID_ARGUMENT")
    deferred.services.trail.close()


def _erase_a_person(api: Api, environment: dict[str, str]) -> None:
    assert api.add(notificationId="erased", notifyUsers=[{"userId": "zoe"}]).status_code == 200
    settings = load(environment)
    stores = build_stores(settings)
    trail = build_trail(settings, stores)
    try:
        done(
            build_eraser(settings, stores, trail),
            environment,
            erasure_request("zoe", organizations=("acme",)),
        )
    finally:
        trail.close()
