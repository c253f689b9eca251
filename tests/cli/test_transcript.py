"""check --live --report: a transcript of the exchange with Velt that can be shared and committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def test_a_report_shows_documented_names_alone_whatever_velt_calls_its_fields(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    """A hostile Velt repeats words of other people's content as names of fields, and ids as numbers."""
    row = {
        "id": "x",
        "bluebird": True,
        "zanzibar": {"merger": "x"},
        "actionUser": {"userId": "x", "maryprivate": "x"},
        "timestamp": 4111222233334444,
        "metadata": {"locationId": 998877665544, "codename": 1},
        "views": -271828.5,
    }
    answer = {"result": {"status": "success", "message": "x", "data": [row], "fridaydeal": 31415926}}
    velt.break_with(path="/v2/notifications/get", status=200, body=answer)
    _, text = report_of(resolver_environment, tmp_path / "report.json")
    for dismissed_by in ("bluebird", "zanzibar", "merger", "maryprivate", "codename", "fridaydeal"):
        assert dismissed_by not in text
    for dismissed_by in ("4111222233334444", "998877665544", "271828", "31415926"):
        assert dismissed_by not in text
    shown = [each for each in json.loads(text)["exchanges"] if each["path"].endswith("/get")]
    assert shown[0]["answered"]["result"]["data"][0]["timestamp"] == "<number>"


def test_a_report_of_a_documented_exchange_hides_no_name_and_no_time(
    resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    _, text = report_of(resolver_environment, tmp_path / "report.json")
    exchanges = json.loads(text)["exchanges"]
    names = {name for exchange in exchanges for name in names_in(exchange)}
    # The name of the probe's own context field is the only one that Velt's documents don't have.
    assert {name for name in names if name.endswith("characters>")} <= {
        f"<{len('resolverProbe')} characters>"
    }
    rows = [
        row
        for each in exchanges
        if each["path"].endswith("/get")
        for row in each["answered"]["result"]["data"]
    ]
    assert all(isinstance(row["timestamp"], int) for row in rows)
    assert rows


def test_a_report_keeps_fields_apart_whose_hidden_names_are_equally_long(
    resolver_environment: dict[str, str], velt: Velt, tmp_path: Path
) -> None:
    answer = {"result": {"status": "success", "data": {"aaaa": True, "bbbb": False}}}
    velt.break_with(path="/v2/notifications/add", status=200, body=answer)
    _, text = report_of(resolver_environment, tmp_path / "report.json")
    first = next(each for each in json.loads(text)["exchanges"] if each["path"].endswith("/add"))
    assert first["answered"]["result"]["data"] == {"<4 characters>": True, "<4 characters> 2": False}


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


def names_in(value: Any) -> Iterator[str]:
    """All names of fields, however deep."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from names_in(inner)
