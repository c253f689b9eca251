"""A restored database is not served until its erasures have been replayed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from resolver.config import load
from resolver.errors import ErasuresNotReplayed
from resolver.store.keyspace import CERTIFICATES
from resolver.wiring import build_stores
from tests.backups import restore, saved
from tests.erasing import CALLBACKS, Environment, MakeApi, MakeEraser, done, erasure_request, filed, run
from tests.support import Api, Velt, signed
from tests.waiting import until


def test_backup_taken_during_an_erasure_needs_replay(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api().add()
    eraser = make_eraser()
    filed(eraser, what := erasure_request("ben"))
    backup = saved(redis)
    done(eraser, resolver_environment, what)
    restore(redis, backup)
    served = make_api()
    assert served.add(notificationId="new").status_code == 503


def test_running_process_notices_a_restored_backup_within_a_second(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    api = make_api()
    api.add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    assert api.add(notificationId="new").status_code == 200  # now it trusts the database for a second
    restore(redis, backup)
    until(lambda: api.add(notificationId="new").status_code == 503, "the backup is noticed", seconds=2)


def test_service_is_closed_when_the_certificate_directory_is_unreadable(
    make_api: MakeApi, kept: Path, resolver_environment: Environment
) -> None:
    api = make_api()
    kept.rmdir()
    assert api.add().status_code == 503


def test_eraser_writes_the_kept_certificate_again_when_killed_before_closing(  # noqa: PLR0917 - fixtures
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
        patch.setattr(eraser.erasure_store, "close", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            done(eraser, resolver_environment, what := erasure_request("ben"))
    assert [path.stem for path in kept.iterdir()] == [what.id]
    assert redis.hlen(CERTIFICATES) == 0
    assert make_api().add(notificationId="new").status_code == 200
    eraser.lease.release(eraser.me)
    assert done(make_eraser(), resolver_environment, what)["certificate"]


def test_restored_backup_is_noticed_only_with_a_certificate_directory(
    resolver_environment: Environment, kept: Path, redis: Redis
) -> None:
    (kept / f"{'0' * 32}.json").write_text("{}")
    with pytest.raises(ErasuresNotReplayed):
        build_stores(load(resolver_environment)).store.ping()
    build_stores(load(resolver_environment), replaying=True).store.ping()


def test_replay_reports_a_certificate_under_another_file_name(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, what := erasure_request("ben"))
    restore(redis, backup)
    (found,) = kept.iterdir()
    renamed = found.rename(kept / "of-ben.json")
    told = run(resolver_environment, "replay", str(kept))
    assert told.exit_code == 1
    assert f"of-ben.json: its name must be {what.id}.json" in told.output
    assert make_api().add(notificationId="new").status_code == 503
    renamed.rename(found)
    assert make_api().read("n-1") == {}


def test_service_stays_closed_when_a_certificate_has_another_id(
    certificate: Path, make_api: MakeApi, resolver_environment: Environment
) -> None:
    (certificate.parent / f"{'0' * 32}.json").write_text(certificate.read_text().replace("person", "PERSON"))
    told = run(resolver_environment, "replay", str(certificate.parent))
    assert told.exit_code == 1
    assert f"{'0' * 32}.json: Its signature doesn't hold" in told.output
    assert make_api().add(notificationId="new").status_code == 503


def test_directories_among_certificates_are_ignored(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment, kept: Path
) -> None:
    (kept / "directory.json").mkdir()
    os.mkfifo(kept / "fifo.json")
    (kept / "link.json").symlink_to(kept / "fifo.json")
    (kept / ".hidden.json").write_text("")
    (kept / "half.part").write_text("")
    make_api().add()
    backup = saved(redis)
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    assert make_api().read() == {}
    restore(redis, backup)
    assert make_api().add(notificationId="new").status_code == 503
    assert run(resolver_environment, "verify", str(kept)).exit_code == 0
    told = run(resolver_environment, "replay", str(kept))
    assert told.exit_code == 0, told.output
    assert make_api().read("n-1") == {}


@pytest.mark.parametrize("name", ["junk.json", "nowhere.json", "endless.json", os.fsdecode(b"caf\xe9.json")])
def test_service_is_closed_and_names_the_file_when_a_file_is_no_certificate(
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


def test_requests_without_redis_are_refused_until_replay(make_api: MakeApi, kept: Path, velt: Velt) -> None:
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
    until(lambda: calls[0]().status_code == 503, "the certificate is noticed", seconds=2)
    velt.control("POST", "reset")
    assert [call().status_code for call in calls] == [503] * len(calls)
    assert velt.sent() == []
    assert api.post(f"{CALLBACKS}/get", {}, {"authorization": "Bearer nonsense"}).status_code == 401
    assert api.client.options(f"{CALLBACKS}/get").status_code < 300
    assert api.client.get("/livez").status_code == 200


def test_requests_without_redis_are_served_when_redis_is_down(make_api: MakeApi, kept: Path) -> None:
    assert kept.is_dir()
    away = make_api(REDIS_URL="redis://127.0.0.1:1/0")
    wanted = {"userId": "cleo", "organizationIds": ["acme"]}
    assert [away.post("/api/velt/token", wanted).status_code for _ in range(5)] == [200] * 5


def test_operator_commands_explain_a_restored_database(resolver_environment: Environment, kept: Path) -> None:
    (kept / f"{'0' * 32}.json").write_text("{}")
    told = run(resolver_environment, "export", "--user", "ben")
    assert told.exit_code == 1
    assert "This is in the audit trail, but its checkpoint could not be stored" in told.stderr
    assert "1 of the erasures must be replayed first (resolver privacy replay)" in told.stderr
    assert "audit_anchor_failed" not in told.output
    assert told.stdout == ""
