"""Evidence: one file, signed, with everything an auditor asks for and no secret in it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from resolver.audit.signing import Signer, is_signed
from resolver.cli import main
from resolver.settings import load
from tests.erasing import done, forge, order
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
    done(make_eraser(), resolver_environment, order("ben"))
    api.services.trail.close()
    path = tmp_path / "evidence.zip"
    told = CliRunner(catch_exceptions=False).invoke(
        main, ["evidence", "--since", "1d", "-o", str(path)], env=resolver_environment
    )
    assert told.exit_code == 0, told.output
    return zipfile.ZipFile(path)


def part(evidence: zipfile.ZipFile, name: str) -> Any:
    return json.loads(evidence.read(name))


def test_it_holds_what_is_asked_for(evidence: zipfile.ZipFile) -> None:
    with evidence:
        (erasure,) = part(evidence, "erasures.json")
        assert erasure["certificate"]["certificate"]["counts"]["removed"] == 1
        records = part(evidence, "records.json")
        assert (records["records"], records["withinRetention"]) == (1, True)
        assert part(evidence, "keys.json")["masterKeys"]["k1"]["records"] == 1
        audit = part(evidence, "audit.json")
        assert (audit["verified"], audit["whole"]) == (True, True)
        assert audit["events"]["mirror add ok"] == 2
        assert {finding["about"] for finding in part(evidence, "check.json")} >= {"settings", "redis", "keys"}
        assert "flask" in {name.lower() for name in part(evidence, "made-of.json")}
        assert part(evidence, "settings.json")["retention_days"] == 90


def test_it_is_signed_to_the_last_part(evidence: zipfile.ZipFile, resolver_environment: Environment) -> None:
    with evidence:
        manifest = evidence.read("manifest.json")
        own = Signer(load(resolver_environment).index_key).public_key
        signature = evidence.read("manifest.json.sig").decode()
        assert is_signed(b"vnr evidence\n" + manifest, signature, own)
        digests = json.loads(manifest)["parts"]
        assert digests.keys() | {"manifest.json", "manifest.json.sig"} == set(evidence.namelist())
        for name, digest in digests.items():
            assert hashlib.sha256(evidence.read(name)).hexdigest() == digest


def test_no_secret_and_no_content_is_in_it(evidence: zipfile.ZipFile) -> None:
    with evidence:
        everything = b"".join(map(evidence.read, evidence.namelist())).decode()
    for secret in (API_KEY, VELT_TOKEN, CALLER_TOKEN, TOKEN_SECRET, key(1), key(9), "CANARY"):
        assert secret not in everything


@pytest.mark.parametrize(
    "span", ["", "90", "d", "-1d", "9 d", "3m", "999999999999d", "101y", "3000y", f"{'9' * 5000}w", "٣d"]
)
def test_a_span_that_is_none_is_refused(span: str, resolver_environment: Environment) -> None:
    told = CliRunner().invoke(main, ["evidence", "--since", span, "-o", "x.zip"], env=resolver_environment)
    assert told.exit_code == 2
    assert "a span such as" in told.output or "a hundred years" in told.output


def test_a_certificate_that_was_never_signed_here_is_no_evidence_but_of_tampering(
    make_api: Callable[..., Api],
    make_eraser: Callable[..., Any],
    resolver_environment: Environment,
    redis: Redis,
    tmp_path: Path,
) -> None:
    make_api().add()
    done(make_eraser(), resolver_environment, what := order("ben"))
    forge(redis, what.id)
    path = tmp_path / "evidence.zip"
    arguments = ["evidence", "--since", "100y", "-o", str(path)]
    told = CliRunner().invoke(main, arguments, env=resolver_environment)
    assert told.exit_code == 0, told.output
    with zipfile.ZipFile(path) as found:
        (erasure,) = part(found, "erasures.json")
    assert erasure == {"erasureId": what.id, "status": "tampered"}
