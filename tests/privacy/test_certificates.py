"""Certificates: checked offline, silent about whom they are about, and good for doing it all again."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.audit.signing import Signer
from resolver.cli import main
from resolver.errors import VaultRestored
from resolver.privacy.eraser import Eraser
from resolver.services import build_stores
from resolver.settings import load
from resolver.vault.keyspace import CERTIFICATES, ORDERS_KNOWN
from resolver.vault.restored import Certificates
from tests.erasing import done, filed, forge, order
from tests.support import Api, Velt, key, keys_of, signed
from tests.system.conftest import RESOLVER, plain_environment

JSON = dict[str, Any]
Environment = dict[str, str]
CALLBACKS = "/api/velt/notifications"
MakeApi = Callable[..., Api]
MakeEraser = Callable[..., Eraser]


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["privacy", *arguments], env=env)


def public_key(env: Environment) -> str:
    return Signer(load(env).index_key).public_key


@pytest.fixture
def certificate(api: Api, make_eraser: MakeEraser, resolver_environment: Environment, kept: Path) -> Path:
    """Of ben's erasure from acme."""
    api.add()
    done(
        make_eraser(), resolver_environment, order("ben", emails=("B@example.com",), organizations=("acme",))
    )
    (found,) = kept.iterdir()
    return found


def test_it_is_checked_with_the_public_key_alone(
    certificate: Path, resolver_environment: Environment
) -> None:
    arguments = ["privacy", "verify", str(certificate), "--public-key", public_key(resolver_environment)]
    # Neither settings nor Redis: whoever was given the file has neither.
    found = subprocess.run(
        [*RESOLVER, *arguments], env=plain_environment({}), capture_output=True, check=True
    )
    assert b"1 removed, 0 cut" in found.stdout
    assert run(resolver_environment, "verify", str(certificate.parent)).exit_code == 0


@pytest.mark.parametrize(
    "tampered",
    [
        lambda text: text.replace('"removed": 1', '"removed": 2'),
        lambda text: text.replace('"told": 1', '"told": 0'),
        lambda text: text[:-10],
        lambda text: "[]",
        lambda text: '{"certificate": 1, "signature": 2}',
        lambda text: "[" * 100_000,
    ],
)
def test_a_changed_one_is_none(
    certificate: Path, resolver_environment: Environment, tampered: Callable[[str], str]
) -> None:
    certificate.write_text(changed := tampered(text := certificate.read_text()))
    assert changed != text
    assert run(resolver_environment, "verify", str(certificate)).exit_code == 1


def test_signed_by_somebody_else_it_is_none(certificate: Path, resolver_environment: Environment) -> None:
    stranger = {**resolver_environment, "RESOLVER_INDEX_KEY": key(8)}
    assert run(stranger, "verify", str(certificate)).exit_code == 1
    done = run(resolver_environment, "verify", str(certificate), "--public-key", public_key(stranger))
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("name", "is_about"),
    [("ben", True), ("b@EXAMPLE.com", True), ("acme", True), ("ana", False), ("BEN", False)],
)
def test_whoever_has_the_index_key_can_tell_whether_it_is_about_somebody(
    certificate: Path, resolver_environment: Environment, name: str, is_about: bool
) -> None:
    told = run(resolver_environment, "verify", str(certificate), "--about", name)
    assert (told.exit_code == 0) is is_about
    assert f"{'about' if is_about else 'NOT about'} {name}" in told.output


def test_without_settings_or_key_nothing_is_believed(certificate: Path) -> None:
    found = subprocess.run(
        [*RESOLVER, "privacy", "verify", str(certificate)],
        env=plain_environment({}),
        capture_output=True,
        check=False,
    )
    assert found.returncode == 1


def saved(redis: Redis) -> dict[bytes, tuple[bytes, int]]:
    """A backup of the whole database."""
    return {name: (redis.dump(name) or b"", max(0, redis.pttl(name))) for name in keys_of(redis, "*")}


def restore(redis: Redis, backup: dict[bytes, tuple[bytes, int]]) -> None:
    redis.flushall()
    for name, (dump, left) in backup.items():
        redis.restore(name, left, dump)


def test_a_backup_taken_while_it_was_asked_for_is_as_old_as_any_other(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api().add()
    eraser = make_eraser()
    filed(eraser, what := order("ben"))
    backup = saved(redis)
    done(eraser, resolver_environment, what)
    restore(redis, backup)
    served = make_api()
    assert served.add(notificationId="new").status_code == 503


def test_an_id_that_is_an_address_comes_back_in_whatever_case_and_goes_again(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api = make_api()
    api.add(notifyUsers=[{"userId": "Ben@Example.com"}])
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben@EXAMPLE.com"))
    restore(redis, backup)
    replayed = CliRunner().invoke(main, ["privacy", "replay", str(kept)], env=resolver_environment)
    assert replayed.exit_code == 0, replayed.output
    assert list(make_api().services.vault.scan()) == []


def test_what_the_status_answers_verifies_as_it_is(
    make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    what = order("ben")
    done(make_eraser(), resolver_environment, what)
    status = CliRunner().invoke(main, ["privacy", "status", what.id, "--json"], env=resolver_environment)
    (tmp_path / "status.json").write_text(status.stdout)
    verified = ["privacy", "verify", str(tmp_path / "status.json"), "--about", "ben"]
    checked = CliRunner().invoke(main, verified, env=resolver_environment)
    assert checked.exit_code == 0, checked.output


def test_a_certificate_that_is_kept_is_never_overwritten(kept: Path) -> None:
    certificates = Certificates(str(kept))
    assert certificates.keep("a" * 32, b"first") == b"first"
    assert certificates.keep("a" * 32, b"second") == b"first"


def test_backup_erase_restore_refused_replay_served_and_the_person_is_still_gone(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api = make_api()
    api.add(displayBodyMessage="to ben alone")
    api.add(notificationId="shared", notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    api.add(notificationId="other", notifyUsers=[{"userId": "cleo"}])
    api.add(notificationId="zeta", organizationId="zeta")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben", organizations=("acme",)))
    done(make_eraser(), resolver_environment, order(organizations=("zeta",), whole=True))
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
    assert {held.organization for held in after.services.vault.scan()} == {"acme"}
    assert not [held for held in after.services.vault.scan() if "ben" in held.audience]
    assert json.loads(run(resolver_environment, "replay", str(kept), "--json").stdout)["replayed"] == 0


def test_a_process_that_is_running_notices_within_a_second_or_so(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resolver.vault.restored._TRUSTED_SECONDS", 0.0)
    api = make_api()
    api.add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    restore(redis, backup)
    assert api.add(notificationId="new").status_code == 503


def test_names_that_stood_in_texts_are_found_again_too(
    api: Api, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api.add(notifyUsers=[{"userId": "cleo"}], displayBodyMessage="says Obi-Wan Kenobi")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order(mentioning=("Wan Kenobi",)))
    restore(redis, backup)
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert list(api.services.vault.scan()) == []


def test_an_erasure_within_organizations_that_are_all_gone_is_not_done_everywhere(
    api: Api, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api.add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben", organizations=("elsewhere",)))
    restore(redis, backup)
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert len(list(api.services.vault.scan())) == 1


def test_what_is_no_certificate_replays_nothing_at_all(
    certificate: Path, redis: Redis, resolver_environment: Environment
) -> None:
    redis.delete(ORDERS_KNOWN)
    (certificate.parent / "forged.json").write_text(certificate.read_text().replace("person", "PERSON"))
    refused = run(resolver_environment, "replay", str(certificate.parent))
    assert refused.exit_code == 1
    assert "Nothing was replayed" in refused.output
    assert redis.scard(ORDERS_KNOWN) == 0


def test_a_directory_that_cannot_be_read_closes_the_house(
    make_api: MakeApi, kept: Path, resolver_environment: Environment
) -> None:
    api = make_api()
    kept.rmdir()
    assert api.add().status_code == 503


def test_killed_after_the_certificate_was_kept_it_is_written_once_more_and_nobody_is_refused(  # noqa: PLR0917 - fixtures
    api: Api,
    make_eraser: MakeEraser,
    make_api: MakeApi,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.add()
    eraser = make_eraser()
    with monkeypatch.context() as patch:
        patch.setattr(eraser.orders, "close", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            done(eraser, resolver_environment, what := order("ben"))
    assert [path.stem for path in kept.iterdir()] == [what.id]
    assert redis.hlen(CERTIFICATES) == 0
    assert make_api().add(notificationId="new").status_code == 200
    eraser.orders.let_go(eraser.me)
    assert done(make_eraser(), resolver_environment, what)["certificate"]


def test_the_gate_is_for_whoever_was_told_where_to_look(
    resolver_environment: Environment, kept: Path, redis: Redis
) -> None:
    (kept / f"{'0' * 32}.json").write_text("{}")
    with pytest.raises(VaultRestored):
        build_stores(load(resolver_environment)).vault.ping()
    build_stores(load(resolver_environment), replaying=True).vault.ping()


def test_status_shows_those_under_way_and_those_done(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    eraser = make_eraser()
    first = done(eraser, resolver_environment, order("ben"))["erasureId"]
    filed(eraser, second := order("ana"))
    told = json.loads(run(resolver_environment, "status", "--json").stdout)
    assert {item["erasureId"]: item["status"] for item in told} == {first: "done", second.id: "waiting"}
    assert "certificate" in json.loads(run(resolver_environment, "status", first, "--json").stdout)
    assert run(resolver_environment, "status", "nonesuch").exit_code == 1


@pytest.mark.parametrize("keys", [f"k2:{key(2)}", f"k1:{key(3)}"], ids=["withdrawn", "another"])
def test_while_anything_does_not_open_nothing_is_replayed_and_nobody_is_served(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    keys: str,
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    restore(redis, backup)
    told = run({**resolver_environment, "RESOLVER_MASTER_KEYS": keys}, "replay", str(kept))
    assert told.exit_code == 1
    assert "RESOLVER_MASTER_KEYS" in told.output
    assert redis.scard(ORDERS_KNOWN) == 0
    assert make_api().add(notificationId="new").status_code == 503
    assert run(resolver_environment, "replay", str(kept)).exit_code == 0
    assert make_api().read("n-1") == {}


def test_commands_that_do_not_open_are_waited_for_too(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api(RESOLVER_REGISTRATION="deferred").add()
    for name in keys_of(redis, "{p*n:*"):
        redis.delete(name)
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    restore(redis, backup)
    withdrawn = {**resolver_environment, "RESOLVER_MASTER_KEYS": f"k2:{key(2)}"}
    assert run(withdrawn, "replay", str(kept)).exit_code == 1
    assert redis.scard(ORDERS_KNOWN) == 0


def test_what_stops_opening_while_it_is_replayed_leaves_the_gate_shut(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    restore(redis, backup)
    again = Eraser.again
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "again", lambda *args: (at.now(unreadable=1) for at in again(*args)))
        assert run(resolver_environment, "replay", str(kept)).exit_code == 1
    assert redis.scard(ORDERS_KNOWN) == 0


def test_those_of_a_former_key_that_are_known_already_are_passed_over(  # noqa: PLR0917 - fixtures
    make_api: MakeApi,
    make_eraser: MakeEraser,
    redis: Redis,
    resolver_environment: Environment,
    kept: Path,
    tmp_path: Path,
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, order("ben"))
    (new_key := tmp_path / "new.key").write_text(key(77))
    told = CliRunner().invoke(main, ["keys", "reindex", str(new_key), "--yes"], env=resolver_environment)
    assert told.exit_code == 0, told.output
    resolver_environment["RESOLVER_INDEX_KEY"] = key(77)
    make_api().add(notificationId="n-2")
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    restore(redis, backup)
    told = run(resolver_environment, "replay", str(kept), "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout.splitlines()[-1])["replayed"] == 1
    assert make_api().read("n-2") == {}


def test_a_certificate_under_another_name_is_replayed_and_said_to_keep_the_gate_shut(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, what := order("ben"))
    restore(redis, backup)
    (found,) = kept.iterdir()
    renamed = found.rename(kept / "of-ben.json")
    told = run(resolver_environment, "replay", str(kept))
    assert told.exit_code == 1
    assert f"of-ben.json: its name must be {what.id}.json" in told.output
    assert make_api().add(notificationId="new").status_code == 503
    renamed.rename(found)
    assert make_api().read("n-1") == {}


def test_a_certificate_that_says_it_is_another_one_opens_no_gate(
    certificate: Path, make_api: MakeApi, resolver_environment: Environment
) -> None:
    (certificate.parent / f"{'0' * 32}.json").write_text(certificate.read_text().replace("person", "PERSON"))
    told = run(resolver_environment, "replay", str(certificate.parent))
    assert told.exit_code == 1
    assert f"{'0' * 32}.json: Its signature doesn't hold" in told.output
    assert make_api().add(notificationId="new").status_code == 503


def test_what_is_no_file_at_all_neither_shuts_the_gate_nor_stops_a_replay(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    (kept / "directory.json").mkdir()
    os.mkfifo(kept / "fifo.json")
    (kept / "link.json").symlink_to(kept / "fifo.json")
    (kept / ".hidden.json").write_text("")
    (kept / "half.part").write_text("")
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, order("ben"))
    assert make_api().read() == {}
    restore(redis, backup)
    assert make_api().add(notificationId="new").status_code == 503
    assert run(resolver_environment, "verify", str(kept)).exit_code == 0
    told = run(resolver_environment, "replay", str(kept))
    assert told.exit_code == 0, told.output
    assert make_api().read("n-1") == {}


@pytest.mark.parametrize("name", ["junk.json", "nowhere.json", "endless.json", os.fsdecode(b"caf\xe9.json")])
def test_a_file_that_is_no_certificate_shuts_the_gate_and_is_named(
    make_api: MakeApi, redis: Redis, resolver_environment: Environment, kept: Path, name: str
) -> None:
    if (target := {"nowhere.json": "nowhere.json", "endless.json": "/dev/zero"}.get(name)) is not None:
        (kept / name).symlink_to(target)
    else:
        (kept / name).write_text("junk")
    is_device = name == "endless.json"
    assert make_api().add().status_code == (200 if is_device else 503)
    told = run(resolver_environment, "replay", str(kept))
    assert told.exit_code == (0 if is_device else 1), told.output
    assert is_device or name.encode(errors="replace").decode()[:3] in told.output
    assert isinstance(told.exception, SystemExit | None)


def test_until_it_is_replayed_what_needs_nothing_of_redis_is_refused_as_well(
    make_api: MakeApi, kept: Path, velt: Velt
) -> None:
    api, cleo = make_api(), {"authorization": f"Bearer {signed('cleo', 'acme')}"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: api.post("/api/velt/token", {"userId": "cleo", "organizationIds": ["acme"]}),
        lambda: api.post(f"{CALLBACKS}/get", {"organizationId": "zeta", "notificationIds": ["n"]}, cleo),
        lambda: api.post(f"{CALLBACKS}/get", {"organizationId": "acme", "notificationIds": []}, cleo),
        lambda: api.velt("notifications/delete", {"organizationId": "acme", "documentIds": ["doc-1"]}),
        lambda: api.velt("notifications/config/get", {"organizationId": "acme", "userId": "ben"}),
    )
    assert [call().status_code // 100 for call in calls] != [5] * len(calls)
    (kept / f"{'0' * 32}.json").write_text("{}")
    time.sleep(1.0)
    velt.control("POST", "reset")
    assert [call().status_code for call in calls] == [503] * len(calls)
    assert velt.sent() == []
    assert api.post(f"{CALLBACKS}/get", {}, {"authorization": "Bearer nonsense"}).status_code == 401
    assert api.client.options(f"{CALLBACKS}/get").status_code < 300
    assert api.client.get("/livez").status_code == 200


def test_a_redis_that_is_away_is_no_reason_to_refuse_what_needs_none(make_api: MakeApi, kept: Path) -> None:
    assert kept.is_dir()
    away = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    wanted = {"userId": "cleo", "organizationIds": ["acme"]}
    assert [away.post("/api/velt/token", wanted).status_code for _ in range(5)] == [200] * 5


def test_what_redis_calls_a_certificate_and_was_never_signed_is_said_and_not_believed(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := order("ben"))
    done(make_eraser(), resolver_environment, other := order("zoe"))
    token = {"authorization": f"Bearer {(secret := secrets.token_urlsafe(40))}"}
    api = make_api(RESOLVER_PRIVACY_TOKENS=f"dpo:{secret}")
    redis.hset(CERTIFICATES, "swapped", redis.hget(CERTIFICATES, other.id) or b"")
    redis.hset(CERTIFICATES, "junk", b"junk")
    forge(redis, what.id)
    for id_ in (what.id, "swapped", "junk"):
        reply = api.client.get(f"/privacy/erasures/{id_}", headers=token)
        assert (reply.status_code, b"999" in reply.data) == (503, False)
        told = run(resolver_environment, "status", id_)
        assert told.exit_code == 1
        assert "isn't the one that was signed" in told.output
    assert api.client.get(f"/privacy/erasures/{other.id}", headers=token).get_json()["status"] == "done"
    told = run(resolver_environment, "status", "--json")
    assert told.exit_code == 1
    states = {item["erasureId"]: item["status"] for item in json.loads(told.stdout)}
    assert states == {what.id: "tampered", "swapped": "tampered", "junk": "tampered", other.id: "done"}
    assert "tampered with" in run(resolver_environment, "status").output


def test_after_a_re_index_what_the_former_key_signed_is_still_shown(
    make_api: MakeApi, make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := order("ben"))
    (new_key := tmp_path / "new.key").write_text(key(77))
    told = CliRunner().invoke(main, ["keys", "reindex", str(new_key), "--yes"], env=resolver_environment)
    assert told.exit_code == 0, told.output
    resolver_environment["RESOLVER_INDEX_KEY"] = key(77)
    assert json.loads(run(resolver_environment, "status", what.id, "--json").stdout)["status"] == "done"
