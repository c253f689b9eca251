"""deploy/systemd/: units that systemd takes, that allow little, and that give a process time to stop."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.systemd import SYSTEMD, UNITS, directives
from tests.system.balancers import changed

MOST_EXPOSED = 15
"""The highest exposure that `systemd-analyze security` may give, times ten. The rest is network access, which
the service needs."""
AS_THE_SERVICE = "setpriv --reuid=velt-resolver --regid=velt-resolver --init-groups"

every_unit = pytest.mark.parametrize("name", UNITS)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not (program := shutil.which("systemd-analyze")):
        pytest.skip("needs systemd-analyze")
    return subprocess.run(
        [program, "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.system
@every_unit
def test_systemd_verifies_the_unit_without_complaint(name: str, tmp_path: Path) -> None:
    installed = Path(sys.executable).parent / "resolver"
    text = changed((SYSTEMD / name).read_text(), {"/opt/velt-resolver/bin/resolver": str(installed)})
    (tmp_path / name).write_text(text)
    checked = analyze("verify", "--man=no", str(tmp_path / name))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.system
@every_unit
def test_exposure_of_the_unit_is_low(name: str) -> None:
    checked = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(SYSTEMD / name))
    assert checked.returncode == 0, checked.stdout


@every_unit
def test_stop_signal_goes_to_the_main_process_alone(name: str) -> None:
    assert directives(name, "KillMode") == ["mixed"]
    assert directives(name, "KillSignal") == ["SIGTERM"]


@every_unit
def test_each_secret_that_a_variable_points_to_is_a_credential(name: str, private: Path) -> None:
    handed = dict(credential.split(":") for credential in directives(name, "LoadCredential"))
    pointed = [value.split("=%d/") for value in directives(name, "Environment")]
    assert dict(pointed) == {f"{n}_FILE": n for n in handed}
    assert handed == {n: f"/etc/velt-resolver/secrets/{n}" for n in handed}
    assert handed.keys() == {path.name for path in (private / "secrets").iterdir()}


@every_unit
def test_unit_may_write_to_the_paths_of_its_settings(name: str) -> None:
    (state,), (logs,) = directives(name, "StateDirectory"), directives(name, "LogsDirectory")
    writable = [f"/var/lib/{folder}" for folder in state.split()] + [f"/var/log/{logs}"]
    given = dict(
        line.split("=", 1) for line in (SYSTEMD / "environment").read_text().splitlines() if line[0] != "#"
    )
    # The service refuses to start without the first folder, so systemd must make it.
    assert given["RESOLVER_CERTIFICATE_DIR"] in writable
    assert str(Path(given["RESOLVER_AUDIT_LOG"]).parent) in writable


def test_both_units_run_as_the_user_that_is_made() -> None:
    made = [
        line.split()[1] for line in (SYSTEMD / "sysusers.conf").read_text().splitlines() if line[0] == "u"
    ]
    assert [directives(name, "User") for name in UNITS] == [made, made]


def test_both_units_have_the_same_confinement() -> None:
    def confinement(name: str) -> str:
        return (SYSTEMD / name).read_text().partition("# It talks to")[2]

    assert confinement(UNITS[0]) == confinement(UNITS[1])


def test_an_operators_command_gets_the_services_settings_and_secrets(private: Path, tmp_path: Path) -> None:
    program = tmp_path / "resolver"
    program.write_text('#!/bin/sh\necho "$1 $RESOLVER_INDEX_KEY $RESOLVER_CERTIFICATE_DIR"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    places = {
        "/etc/velt-resolver/environment": str(SYSTEMD / "environment"),
        "/etc/velt-resolver/secrets": str(private / "secrets"),
        f"{AS_THE_SERVICE} /opt/velt-resolver/bin/resolver": str(program),
    }
    script = tmp_path / "run"
    script.write_text(changed((SYSTEMD / "velt-resolver-run").read_text(), places))
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", str(script), "check"], env=env, capture_output=True, text=True, check=True)
    key = (private / "secrets/RESOLVER_INDEX_KEY").read_text()
    assert done.stdout == f"check {key} /var/lib/velt-resolver/certificates\n"
