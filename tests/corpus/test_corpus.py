"""Stored data of each schema: this version opens its own, and refuses older ones as documented.

A folder holds what one version stored: `redis.json`, and for schemas that are read also `expected.json`, the
audit trail and an erasure certificate. `pytest tests/corpus --write-corpus` makes the folder of the current
schema. A folder is never changed afterwards: what was stored then is what has to open.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.cli import main
from resolver.store.database_identity import WRITTEN_SCHEMA
from tests.cli.test_rotation import drained
from tests.corpus import store
from tests.corpus.making import IDEMPOTENT, PENDING, REFUSED, make
from tests.support import BACKEND, JSON, Api, Velt, notification

HERE = Path(__file__).parent
OPENED = [HERE / "schema-3"]
REFUSED_SCHEMAS = [HERE / "schema-2"]
pytestmark = pytest.mark.single_server


def test_current_schema_has_a_corpus() -> None:
    assert HERE / f"schema-{WRITTEN_SCHEMA}" in OPENED


def test_corpus_can_be_made(  # noqa: PLR0917 - pytest passes fixtures by name
    make_api: Callable[..., Api],
    resolver_environment: dict[str, str],
    redis: Redis,
    velt: Velt,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    writes = pytestconfig.getoption("--write-corpus")
    folder = (HERE if writes else tmp_path) / f"schema-{WRITTEN_SCHEMA}"
    make(make_api, resolver_environment, redis, velt, folder=folder, scratch=tmp_path)


@pytest.fixture(params=OPENED, ids=lambda path: path.name)
def corpus(request: pytest.FixtureRequest, redis: Redis) -> Path:
    """A database as an earlier version left it."""
    found: Path = request.param
    store.load(redis, found / "redis.json")
    return found


def expected_in(corpus: Path) -> JSON:
    found: JSON = json.loads((corpus / "expected.json").read_text(encoding="utf-8"))
    return found


def test_stored_content_is_returned_to_its_recipients_alone(corpus: Path, api: Api) -> None:
    for user, content in expected_in(corpus)["read"].items():
        asked = {"organizationId": "acme", "notificationIds": expected_in(corpus)["ids"]}
        reply = api.callback("get", asked, user)
        assert (user, reply.get_json()["data"]) == (user, content)


def test_waiting_command_is_sent(corpus: Path, resolver_environment: dict[str, str], velt: Velt) -> None:
    drained(resolver_environment)
    assert [sent["notificationId"] for sent in velt.sent("/v2/notifications/add")] == [PENDING]


def test_dead_letter_is_listed_with_its_reason(corpus: Path, api: Api) -> None:
    (dead,) = api.services.outbox.dead_letters.all()
    assert dead.command is not None
    assert (dead.command.notification, dead.reason) == (REFUSED, "INVALID_ARGUMENT")


def test_idempotency_key_stands_for_the_same_id(corpus: Path, api: Api) -> None:
    add = notification(displayBodyMessage="CANARY once")
    del add["notificationId"]
    reply = api.post("/v2/notifications/add", {"data": add}, {**BACKEND, "idempotency-key": IDEMPOTENT})
    assert reply.get_json()["result"]["data"]["notificationId"] == expected_in(corpus)["idempotent"]


def test_revoked_token_stays_revoked(corpus: Path, api: Api) -> None:
    bearer = {"authorization": f"Bearer {expected_in(corpus)['revoked']}"}
    asked = {"organizationId": "acme", "notificationIds": ["named"]}
    assert api.post("/api/velt/notifications/get", asked, bearer).status_code == 401


def test_audit_trail_is_whole(corpus: Path, resolver_environment: dict[str, str]) -> None:
    done = CliRunner().invoke(
        main, ["audit", "verify", str(corpus / "audit.log")], env=resolver_environment, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output


def test_erasure_certificate_verifies(
    corpus: Path, resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    file = Path(shutil.copy(corpus / "certificate.json", tmp_path))
    done = CliRunner().invoke(
        main, ["privacy", "verify", str(file)], env=resolver_environment, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("folder", REFUSED_SCHEMAS, ids=lambda path: path.name)
def test_older_schema_is_refused_clearly(
    folder: Path, redis: Redis, make_api: Callable[..., Api], resolver_environment: dict[str, str]
) -> None:
    store.load(redis, folder / "redis.json")
    api = make_api()
    assert api.client.get("/readyz").get_json()["redis"] == "outdated"
    assert api.callback("get", {"organizationId": "acme", "notificationIds": ["named"]}).status_code == 503
    assert api.add(notificationId="new").status_code == 503
    done = CliRunner().invoke(main, ["check"], env=resolver_environment)
    assert done.exit_code == 1
    assert "has schema 2, and this version reads 3 only" in done.output
