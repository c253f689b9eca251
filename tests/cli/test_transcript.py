"""check --live --report: a transcript of the exchange with Velt that can be shared and committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3
from click.testing import CliRunner

from resolver.cli import main
from resolver.notifications.probe import WORDS
from tests.support import API_KEY, CALLER_TOKEN, VELT_TOKEN, Velt, notification

WHERE = ("--organization", "acme-corp", "--document", "secret-doc", "--user", "ben.okoro")


def report_of(env: dict[str, str], file: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["check", "--live", *WHERE, "--report", str(file), "--json"], env=env)
    return done.exit_code, file.read_text(encoding="utf-8")


def test_a_report_holds_every_exchange_and_neither_ids_nor_content_nor_secrets(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    status, text = report_of(resolver_environment, tmp_path / "report.json")
    assert status == 0, text
    written = json.loads(text)
    asked = [exchange["path"] for exchange in written["exchanges"]]
    sent = [entry["path"] for entry in velt.ledger() if "/notifications/" in entry["path"]]
    assert asked == sent
    first = next(exchange for exchange in written["exchanges"] if exchange["path"].endswith("/add"))
    assert first["asked"]["organizationId"] == "<organization>"
    assert first["asked"]["notifyUsers"] == [{"userId": "<user>"}]
    assert first["answered"]["result"]["status"] == "success"
    assert written["findings"]
    secrets = (API_KEY, VELT_TOKEN, CALLER_TOKEN, *WHERE[1::2], *WORDS)
    assert not [secret for secret in secrets if secret in text.lower()]


def test_a_report_shows_nothing_of_the_document_s_other_notifications(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    """Rows of a customer's document may hold text, names, and ids as names of fields."""
    other: dict[str, Any] = notification(
        organizationId="acme-corp",
        documentId="secret-doc",
        notifyUsers=[{"userId": "maryprivate"}],
        metadata={"codename": "bluebird"},
    )
    add_at_velt(velt, other)
    _, text = report_of(resolver_environment, tmp_path / "report.json")
    assert not [word for word in ("CANARY", "maryprivate", "codename", "bluebird") if word in text]


def test_a_report_does_not_repeat_what_velt_says_when_it_refuses(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    velt.break_with(path="/v2/notifications/add", status=400, message="CANARY is not allowed here")
    status, text = report_of(resolver_environment, tmp_path / "report.json")
    assert status == 1
    assert "INVALID_ARGUMENT" in text
    assert "CANARY" not in text


def test_a_report_does_not_repeat_what_velt_says_when_it_fails(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    """A status may hold anything, our own token among it."""
    velt.break_with(path="/v2/notifications/get", status=500, errorStatus=VELT_TOKEN, message="x")
    _, text = report_of(resolver_environment, tmp_path / "report.json")
    assert VELT_TOKEN[:20] not in text


def test_a_report_hides_ids_that_look_like_a_status_or_a_field(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    where = ("--organization", "ACME", "--document", "PAYROLL", "--user", "success")
    file = tmp_path / "report.json"
    CliRunner().invoke(main, ["check", "--live", *where, "--report", str(file)], env=resolver_environment)
    text = file.read_text(encoding="utf-8")
    assert not [word for word in ("ACME", "PAYROLL") if word in text]
    first = next(exchange for exchange in json.loads(text)["exchanges"] if "notifyUsers" in exchange["asked"])
    assert first["asked"]["notifyUsers"] == [{"userId": "<user>"}]


def test_report_goes_with_live(resolver_environment: dict[str, str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["check", "--report", str(tmp_path / "x")], env=resolver_environment)
    assert (done.exit_code, "--live" in done.output) == (2, True)


def test_check_refuses_a_report_file_that_cannot_be_opened_before_it_asks_velt(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere" / "report.json"
    command = ["check", "--live", *WHERE, "--report", str(missing)]
    done = CliRunner().invoke(main, command, env=resolver_environment)
    assert (done.exit_code, "No such file or directory" in done.output) == (2, True), done.output
    assert velt.ledger() == []


def test_check_fails_with_a_finding_when_the_report_cannot_be_written(
    resolver_environment: dict[str, str], velt: Velt
) -> None:
    """Opening /dev/full succeeds; writing to it fails, as on a disk that fills up meanwhile."""
    command = ["check", "--live", *WHERE, "--report", "/dev/full", "--json"]
    done = CliRunner().invoke(main, command, env=resolver_environment)
    assert done.exit_code == 1
    assert json.loads(done.stdout)[-1] == {
        "outcome": "fail",
        "about": "live",
        "text": "the report cannot be written to /dev/full: No space left on device",
    }
    assert velt.control("GET", "notifications")["notifications"] == []


def test_check_leaves_an_earlier_report_when_the_probe_does_not_begin(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    file.write_text("an earlier report", encoding="utf-8")
    status, text = report_of({**resolver_environment, "REDIS_URL": "redis://127.0.0.1:1/0"}, file)
    assert (status, text) == (1, "an earlier report")


def add_at_velt(velt: Velt, data: dict[str, Any]) -> None:
    headers = {"x-velt-api-key": API_KEY, "x-velt-auth-token": VELT_TOKEN}
    url = f"{velt.url}/v2/notifications/add"
    reply = urllib3.request("POST", url, json={"data": data}, headers=headers, retries=False, timeout=5)
    assert reply.status == 200, reply.data
