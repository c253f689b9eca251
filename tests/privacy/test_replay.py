"""Erasures are replayed from their certificates on a restored database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.cli import main
from resolver.privacy.eraser import Eraser
from resolver.store.keyspace import KNOWN_ERASURES
from tests.backups import restore, saved
from tests.erasing import CALLBACKS, Environment, MakeApi, MakeEraser, done, erasure_request, run
from tests.support import Api, key, keys_of, signed


def test_replay_erases_an_address_in_any_case(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api = make_api()
    api.add(notifyUsers=[{"userId": "Ben@Example.com"}])
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben@EXAMPLE.com"))
    restore(redis, backup)
    replayed = run(resolver_environment, "replay", str(kept))
    assert replayed.exit_code == 0, replayed.output
    assert list(make_api().services.store.scan()) == []


def test_restored_backup_is_refused_until_replay_erases_the_person(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api = make_api()
    api.add(displayBodyMessage="to ben alone")
    api.add(notificationId="shared", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    api.add(notificationId="other", notifyUsers=[{"userId": "cleo"}])
    api.add(notificationId="zeta", organizationId="zeta")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben", organizations=("acme",)))
    done(make_eraser(), resolver_environment, erasure_request(organizations=("zeta",), whole=True))
    assert api.read("other", user="cleo")

    restore(redis, backup)
    served, cleo = make_api(), {"authorization": f"Bearer {signed('cleo', 'acme')}"}
    for reply in (
        served.post(f"{CALLBACKS}/get", {"organizationId": "acme", "notificationIds": ["other"]}, cleo),
        served.post(f"{CALLBACKS}/delete", {"organizationId": "acme", "notificationId": "other"}, cleo),
        served.add(notificationId="new"),
        served.velt("notifications/get", {"organizationId": "acme", "documentId": "doc-1"}),
    ):
        assert reply.status_code == 503, reply.data
    assert served.client.get("/readyz").get_json()["redis"] == "restored"
    assert run(resolver_environment, "export", "--user", "ben").exit_code == 1

    first = next(iter(sorted(kept.iterdir())))
    assert run(resolver_environment, "replay", str(first)).exit_code == 0
    assert make_api().add(notificationId="new").status_code == 503, "one of two is still missing"
    told = run(resolver_environment, "replay", str(kept), "--json")
    assert json.loads(told.stdout.splitlines()[-1])["replayed"] == 1

    after = make_api()
    assert after.read("other", "shared", user="cleo").keys() == {"other", "shared"}
    assert after.read("n-1", "shared") == {}
    assert {held.organization for held in after.services.store.scan()} == {"acme"}
    assert not [held for held in after.services.store.scan() if "ben" in held.audience]
    assert json.loads(run(resolver_environment, "replay", str(kept), "--json").stdout)["replayed"] == 0


def test_replay_finds_names_in_texts(
    api: Api, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api.add(notifyUsers=[{"userId": "cleo"}], displayBodyMessage="says Obi-Wan Kenobi")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request(mentioning=("Wan Kenobi",)))
    restore(redis, backup)
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert list(api.services.store.scan()) == []


def test_replay_does_not_widen_an_erasure_when_its_organizations_are_gone(
    api: Api, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api.add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben", organizations=("elsewhere",)))
    restore(redis, backup)
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert len(list(api.services.store.scan())) == 1


def test_replay_does_nothing_when_a_file_is_no_certificate(
    certificate: Path, redis: Redis, resolver_environment: Environment
) -> None:
    redis.delete(KNOWN_ERASURES)
    (certificate.parent / "forged.json").write_text(certificate.read_text().replace("person", "PERSON"))
    refused = run(resolver_environment, "replay", str(certificate.parent))
    assert refused.exit_code == 1
    assert "Nothing was replayed" in refused.output
    assert redis.scard(KNOWN_ERASURES) == 0


@pytest.mark.parametrize("keys", [f"k2:{key(2)}", f"k1:{key(3)}"], ids=["withdrawn", "another"])
def test_replay_is_refused_while_records_are_unreadable(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    keys: str,
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    restore(redis, backup)
    told = run({**resolver_environment, "RESOLVER_MASTER_KEYS": keys}, "replay", str(kept))
    assert told.exit_code == 1
    assert "RESOLVER_MASTER_KEYS" in told.output
    assert redis.scard(KNOWN_ERASURES) == 0
    assert make_api().add(notificationId="new").status_code == 503
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert make_api().read("n-1") == {}


def test_replay_is_refused_while_commands_are_unreadable(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api(RESOLVER_REGISTRATION="deferred").add()
    for name in keys_of(redis, "{p*n:*"):
        redis.delete(name)
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    restore(redis, backup)
    withdrawn = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)}"}
    assert run(withdrawn, "replay", str(kept)).exit_code == 1
    assert redis.scard(KNOWN_ERASURES) == 0


def test_service_stays_closed_when_a_record_becomes_unreadable_during_replay(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    restore(redis, backup)
    repeat = Eraser.repeat
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "repeat", lambda *args: (at.now(unreadable=1) for at in repeat(*args)))
        assert run(resolver_environment, "replay", str(kept)).exit_code == 1
    assert redis.scard(KNOWN_ERASURES) == 0


def test_replay_skips_known_certificates_of_a_former_lookup_key(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    tmp_path: Path,
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    (new_key := tmp_path / "new.key").write_text(key(77))
    told = CliRunner().invoke(main, ["keys", "reindex", str(new_key), "--yes"], env=resolver_environment)
    assert told.exit_code == 0, told.output
    resolver_environment["RESOLVER_INDEX_KEY"] = key(77)
    make_api().add(notificationId="n-2")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    restore(redis, backup)
    told = run(resolver_environment, "replay", str(kept), "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout.splitlines()[-1])["replayed"] == 1
    assert make_api().read("n-2") == {}
