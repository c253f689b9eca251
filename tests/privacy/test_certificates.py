"""Certificates: checked offline, and silent about whom they are about."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.audit.signing import Signer
from resolver.cli import main
from resolver.config import load
from resolver.privacy.eraser import Eraser
from resolver.store.keyspace import CERTIFICATES
from resolver.store.restored_backup import Certificates
from tests.erasing import done, erasure_request, filed, forge, run
from tests.support import Api, key
from tests.system.conftest import RESOLVER, plain_environment

Environment = dict[str, str]
MakeApi = Callable[..., Api]
MakeEraser = Callable[..., Eraser]


def public_key(env: Environment) -> str:
    return Signer(load(env).signing_keys).public_key


def test_certificate_is_verified_with_the_public_key_alone(
    certificate: Path, resolver_environment: Environment
) -> None:
    arguments = ["privacy", "verify", str(certificate), "--public-key", public_key(resolver_environment)]
    # Neither settings nor Redis: the person who received the file has neither.
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
def test_certificate_is_invalid_when_changed(
    certificate: Path, resolver_environment: Environment, tampered: Callable[[str], str]
) -> None:
    certificate.write_text(changed := tampered(text := certificate.read_text()))
    assert changed != text
    assert run(resolver_environment, "verify", str(certificate)).exit_code == 1


def test_certificate_is_invalid_when_signed_with_another_key(
    certificate: Path, resolver_environment: Environment
) -> None:
    stranger = {**resolver_environment, "RESOLVER_SIGNING_KEY": key(8)}
    assert run(stranger, "verify", str(certificate)).exit_code == 1
    done = run(resolver_environment, "verify", str(certificate), "--public-key", public_key(stranger))
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("name", "is_about"),
    [("ben", True), ("b@EXAMPLE.com", True), ("acme", True), ("ana", False), ("BEN", False)],
)
def test_certificate_can_be_matched_to_a_person_with_the_lookup_key(
    certificate: Path, resolver_environment: Environment, name: str, is_about: bool
) -> None:
    told = run(resolver_environment, "verify", str(certificate), "--about", name)
    assert (told.exit_code == 0) is is_about
    assert f"{'about' if is_about else 'NOT about'} {name}" in told.output


def test_certificate_is_not_accepted_without_settings_or_key(certificate: Path) -> None:
    found = subprocess.run(
        [*RESOLVER, "privacy", "verify", str(certificate)],
        env=plain_environment({}),
        capture_output=True,
        check=False,
    )
    assert found.returncode == 1


def test_certificate_in_the_status_answer_verifies(
    make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    what = erasure_request("ben")
    done(make_eraser(), resolver_environment, what)
    status = CliRunner().invoke(main, ["privacy", "status", what.id, "--json"], env=resolver_environment)
    (tmp_path / "status.json").write_text(status.stdout)
    verified = ["privacy", "verify", str(tmp_path / "status.json"), "--about", "ben"]
    checked = CliRunner().invoke(main, verified, env=resolver_environment)
    assert checked.exit_code == 0, checked.output


def test_kept_certificate_is_never_overwritten(kept: Path) -> None:
    certificates = Certificates(str(kept))
    assert certificates.keep("a" * 32, b"first") == b"first"
    assert certificates.keep("a" * 32, b"second") == b"first"


def test_status_shows_open_and_finished_erasures(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    eraser = make_eraser()
    first = done(eraser, resolver_environment, erasure_request("ben"))["erasureId"]
    filed(eraser, second := erasure_request("ana"))
    told = json.loads(run(resolver_environment, "status", "--json").stdout)
    assert {item["erasureId"]: item["status"] for item in told} == {first: "done", second.id: "waiting"}
    assert "certificate" in json.loads(run(resolver_environment, "status", first, "--json").stdout)
    assert run(resolver_environment, "status", "nonesuch").exit_code == 1


def test_status_reports_an_unsigned_certificate_in_redis_as_tampered(
    make_api: MakeApi, make_eraser: MakeEraser, redis: Redis, resolver_environment: Environment
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := erasure_request("ben"))
    done(make_eraser(), resolver_environment, other := erasure_request("zoe"))
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


def test_status_accepts_certificates_after_reindex(
    make_api: MakeApi, make_eraser: MakeEraser, resolver_environment: Environment, tmp_path: Path
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := erasure_request("ben"))
    (new_key := tmp_path / "new.key").write_text(key(77))
    told = CliRunner().invoke(main, ["keys", "reindex", str(new_key), "--yes"], env=resolver_environment)
    assert told.exit_code == 0, told.output
    resolver_environment["RESOLVER_INDEX_KEY"] = key(77)
    assert json.loads(run(resolver_environment, "status", what.id, "--json").stdout)["status"] == "done"


def test_verify_names_each_cause_of_a_refusal(
    certificate: Path, resolver_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text("# Page")
    none = run(resolver_environment, "verify", str(tmp_path / "page.md"))
    assert (none.exit_code, "There is no certificate in it" in none.output) == (1, True)
    no_key = run(resolver_environment, "verify", str(certificate), "--public-key", "junk")
    assert (no_key.exit_code, "'junk' is no public key" in no_key.output) == (2, True)
    stranger = public_key({**resolver_environment, "RESOLVER_SIGNING_KEY": key(8)})
    unsigned = run(resolver_environment, "verify", str(certificate), "--public-key", stranger)
    assert (unsigned.exit_code, "Its signature doesn't hold" in unsigned.output) == (1, True)


def test_verify_fails_for_a_directory_without_certificates(
    resolver_environment: Environment, tmp_path: Path
) -> None:
    (empty := tmp_path / "empty").mkdir()
    told = run(resolver_environment, "verify", str(empty))
    assert (told.exit_code, "There is no certificate (*.json) in" in told.output) == (1, True)


def test_status_lists_erasures_oldest_first_and_shows_one_in_full(
    api: Api, make_eraser: MakeEraser, resolver_environment: Environment
) -> None:
    assert run(resolver_environment, "status").output == "There are no erasures.\n"
    eraser = make_eraser()
    asked = ["2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]
    made = [erasure_request("ben").now(asked=time) for time in asked]
    done(eraser, resolver_environment, made[0])
    done(eraser, resolver_environment, made[1])
    filed(eraser, made[2])
    lines = run(resolver_environment, "status").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(asked)
    assert [made[n].id in line for n, line in zip((1, 2, 0), lines, strict=True)] == [True] * 3
    assert '"signature"' in run(resolver_environment, "status", made[0].id).stdout
