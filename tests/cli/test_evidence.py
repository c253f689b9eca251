"""Evidence: one file, signed, with everything an auditor asks for and no secret in it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.audit.signing import Signer, is_signed
from resolver.cli import main
from resolver.config import load
from resolver.config.secret import Secret
from tests.audit.test_verify import forged, head_of, written
from tests.erasing import done, erasure_request, forge
from tests.support import API_KEY, CALLER_TOKEN, TOKEN_SECRET, VELT_TOKEN, Api, key

Environment = dict[str, str]


@pytest.fixture
def evidence(
    make_api: Callable[..., Api],
    make_eraser: Callable[..., Any],
    resolver_environment: Environment,
    tmp_path: Path,
) -> zipfile.ZipFile:
    resolver_environment["RESOLVER_AUDIT_LOG"] = str(tmp_path / "audit.log")
    api = make_api()
    api.add()
    api.add(notificationId="other", actionUser={"userId": "zoe"}, notifyUsers=[{"userId": "cleo"}])
    done(make_eraser(), resolver_environment, erasure_request("ben"))
    api.services.trail.close()
    path = tmp_path / "evidence.zip"
    told = run(resolver_environment, "--since", "1d", "-o", str(path))
    assert told.exit_code == 0, told.output
    return zipfile.ZipFile(path)


def run(env: Environment, *arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, ["evidence", *arguments], env=env)


def part(evidence: zipfile.ZipFile, name: str) -> Any:
    return json.loads(evidence.read(name))


def test_evidence_holds_all_parts(evidence: zipfile.ZipFile) -> None:
    with evidence:
        (erasure,) = part(evidence, "erasures.json")
        assert erasure["certificate"]["certificate"]["counts"]["removed"] == 1
        records = part(evidence, "records.json")
        assert (records["records"], records["withinRetention"]) == (1, True)
        assert part(evidence, "keys.json")["masterKeys"]["k1"]["records"] == 1
        audit = part(evidence, "audit.json")
        assert (audit["whole"], audit["notChecked"]) == (True, [])
        assert audit["events"]["mirror add ok"] == 2
        assert {finding["about"] for finding in part(evidence, "check.json")} >= {"settings", "redis", "keys"}
        assert "flask" in {name.lower() for name in part(evidence, "made-of.json")}
        assert part(evidence, "settings.json")["retention_days"] == 90


def test_evidence_signature_covers_every_part(
    evidence: zipfile.ZipFile, resolver_environment: Environment
) -> None:
    with evidence:
        manifest = evidence.read("manifest.json")
        own = Signer(load(resolver_environment).signing_keys).public_key
        signature = evidence.read("manifest.json.sig").decode()
        assert is_signed(b"vnr evidence\n" + manifest, signature, own)
        digests = json.loads(manifest)["parts"]
        assert digests.keys() | {"manifest.json", "manifest.json.sig"} == set(evidence.namelist())
        for name, digest in digests.items():
            assert hashlib.sha256(evidence.read(name)).hexdigest() == digest


def test_evidence_holds_no_secret_and_no_content(evidence: zipfile.ZipFile) -> None:
    with evidence:
        everything = b"".join(map(evidence.read, evidence.namelist())).decode()
    for secret in (API_KEY, VELT_TOKEN, CALLER_TOKEN, TOKEN_SECRET, key(1), key(9), "CANARY"):
        assert secret not in everything


@pytest.mark.parametrize(
    "span", ["", "90", "d", "-1d", "9 d", "3m", "999999999999d", "101y", "3000y", f"{'9' * 5000}w", "٣d"]
)
def test_evidence_refuses_an_invalid_span(span: str, resolver_environment: Environment) -> None:
    told = CliRunner().invoke(main, ["evidence", "--since", span, "-o", "x.zip"], env=resolver_environment)
    assert told.exit_code == 2
    assert "a span such as" in told.output or "a hundred years" in told.output


def test_evidence_reports_an_unsigned_certificate_as_tampered(
    make_api: Callable[..., Api],
    make_eraser: Callable[..., Any],
    resolver_environment: Environment,
    redis: Redis,
    tmp_path: Path,
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := erasure_request("ben"))
    forge(redis, what.id)
    path = tmp_path / "evidence.zip"
    told = run(resolver_environment, "--since", "100y", "-o", str(path))
    assert (told.exit_code, f"{what.id} isn't what was signed" in told.stderr) == (1, True)
    with zipfile.ZipFile(path) as found:
        (erasure,) = part(found, "erasures.json")
    assert (erasure["erasureId"], erasure["status"]) == (what.id, "tampered")
    assert "certificate" not in erasure


def test_evidence_is_written_and_exits_with_1_when_the_trail_is_not_whole(
    make_api: Callable[..., Api], resolver_environment: Environment, tmp_path: Path
) -> None:
    trail, path = tmp_path / "audit.log", tmp_path / "evidence.zip"
    resolver_environment["RESOLVER_AUDIT_LOG"] = str(trail)
    api = make_api()
    api.add()
    api.services.trail.close()
    trail.write_bytes(trail.read_bytes().replace(b'"backend"', b'"backens"', 1))
    told = run(resolver_environment, "-o", str(path))
    assert (told.exit_code, "the audit trail is not whole" in told.stderr) == (1, True)
    with zipfile.ZipFile(path) as found:
        assert part(found, "audit.json")["whole"] is False
    assert "verified" not in zipfile.ZipFile(path).read("audit.json").decode()
    assert run(resolver_environment, "--verify", str(path)).exit_code == 1


def test_evidence_says_that_no_trail_was_given(resolver_environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "evidence.zip"
    told = run(resolver_environment, "-o", str(path))
    assert (told.exit_code, "no file of it was given" in told.stderr) == (0, True)
    with zipfile.ZipFile(path) as found:
        assert part(found, "audit.json")["whole"] is None


def test_evidence_verifies_with_the_public_key_alone(
    evidence: zipfile.ZipFile, resolver_environment: Environment
) -> None:
    evidence.close()
    own = Signer(load(resolver_environment).signing_keys).public_key
    nothing: Any = dict.fromkeys(resolver_environment, "")
    checked = run(nothing, "--verify", str(evidence.filename), "--public-key", own)
    assert (checked.exit_code, "7 parts, as they were signed" in checked.output) == (0, True)
    stranger = Signer([Secret(b"s" * 31 + b"t")]).public_key
    refused = run(nothing, "--verify", str(evidence.filename), "--public-key", stranger)
    assert (refused.exit_code, "none of the keys that count" in refused.output) == (1, True)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"records.json": b"{}"}, "records.json: changed since it was signed"),
        ({"records.json": None}, "records.json: missing"),
        ({"more.json": b"{}"}, "more.json: not in the manifest"),
        ({"manifest.json": b"{}"}, "manifest.json: signed with none"),
        ({"manifest.json.sig": "é".encode()}, "no evidence"),
        ({"manifest.json": None}, "no evidence"),
    ],
)
def test_evidence_verification_names_changed_parts(
    evidence: zipfile.ZipFile,
    resolver_environment: Environment,
    tmp_path: Path,
    changed: dict[str, bytes | None],
    named: str,
) -> None:
    with evidence, zipfile.ZipFile(tmp_path / "changed.zip", "w") as copy:
        parts: dict[str, bytes | None] = {name: evidence.read(name) for name in evidence.namelist()}
        for name, text in {**parts, **changed}.items():
            if text is not None:
                copy.writestr(name, text)
    told = run(resolver_environment, "--verify", str(tmp_path / "changed.zip"))
    assert (told.exit_code, named in told.output) == (1, True), told.output


def test_evidence_verification_refuses_other_files(resolver_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("junk")
    told = run(resolver_environment, "--verify", str(tmp_path / "x.zip"))
    assert (told.exit_code, "no evidence" in told.output) == (1, True)


def test_manifest_signature_verifies_with_the_documented_commands(
    evidence: zipfile.ZipFile, resolver_environment: Environment, tmp_path: Path
) -> None:
    """An auditor who doesn't trust this tool can verify without it."""
    evidence.close()
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```bash\n(KEY=.*?)```", page, re.DOTALL)
    own = Signer(load(resolver_environment).signing_keys).public_key
    script = re.sub(r"^KEY=.*$", f"KEY={own}", commands, count=1, flags=re.MULTILINE)

    def by_hand() -> subprocess.CompletedProcess[str]:
        command = ["bash", "-ec", script]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = by_hand()
    assert (done.returncode, "Verified Successfully" in done.stdout) == (0, True), done.stderr
    assert done.stdout.count(": OK") == 7
    script = script.replace(own, Signer([Secret(b"s" * 31 + b"t")]).public_key)
    assert by_hand().returncode != 0


def test_evidence_explains_when_the_output_cannot_be_written(
    resolver_environment: Environment, tmp_path: Path
) -> None:
    told = run(resolver_environment, "-o", str(tmp_path / "nosuch" / "x.zip"))
    assert (told.exit_code, "There is no directory" in told.output) == (1, True)
    told = run(resolver_environment, "-o", "/dev/full")
    assert (told.exit_code, "/dev/full can't be written" in told.output) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["-o", "x.zip", "--verify", "{file}"]])
def test_evidence_refuses_to_write_and_verify_at_once(
    resolver_environment: Environment, arguments: list[str], tmp_path: Path
) -> None:
    (file := tmp_path / "y.zip").write_text("")
    told = run(resolver_environment, *(word.format(file=file) for word in arguments))
    assert (told.exit_code, "Say either" in told.output) == (2, True)


def test_evidence_exits_with_3_when_the_end_of_a_chain_is_unsigned(
    api: Api, resolver_environment: Environment, tmp_path: Path
) -> None:
    api.add()
    trail = tmp_path / "audit.log"
    lines, _ = written(trail, signer=Signer(load(resolver_environment).signing_keys))
    trail.write_bytes(b"".join([*lines, *forged("2026-11-21T09:30:00.000Z", after=head_of(lines))]))
    output = tmp_path / "evidence.zip"
    made = run(resolver_environment, "--audit", str(trail), "-o", str(output))
    assert (made.exit_code, "UNSIGNED" in made.stderr) == (3, True), made.output
    with zipfile.ZipFile(output) as archive:
        found = part(archive, "audit.json")
    assert (found["whole"], found["problems"], len(found["unsigned"])) == (None, [], 1)
    checked = run(resolver_environment, "--verify", str(output))
    assert (checked.exit_code, "no signature covers the end of 1 chain" in checked.stderr) == (3, True)
