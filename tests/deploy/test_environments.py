"""Every process that `deploy/` starts, on every platform, gets a complete environment and time to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.config import load
from resolver.config.environment import Environment
from resolver.config.reading import _read
from resolver.errors import SettingsError
from tests.deploy.conftest import here
from tests.deploy.docker import composed
from tests.deploy.kubernetes import in_kubernetes
from tests.deploy.process import BACKEND_SECRETS, Process
from tests.deploy.systemd import under_systemd

PROCESSES = [*composed(), *in_kubernetes(), *under_systemd()]
NEEDED = (
    "VELT_API_KEY",
    "VELT_AUTH_TOKEN",
    "RESOLVER_CALLER_TOKENS",
    "RESOLVER_MASTER_KEYS",
    "RESOLVER_INDEX_KEY",
    "RESOLVER_SIGNING_KEY",
)

every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "certificates").mkdir()
    return tmp_path


def test_every_platform_starts_web_processes_and_a_worker() -> None:
    names = {process.name: process.command for process in PROCESSES}
    assert names == {
        "compose callback1": "serve",
        "compose callback2": "serve",
        "compose inside1": "serve",
        "compose inside2": "serve",
        "compose worker": "worker",
        "kubernetes callback": "serve",
        "kubernetes inside": "serve",
        "kubernetes worker": "worker",
        "systemd velt-resolver.service": "serve",
        "systemd velt-resolver-worker.service": "worker",
    }


@every_process
def test_shipped_settings_are_complete_and_give_no_warning(
    process: Process, private: Path, state: Path
) -> None:
    settings = load(here(process.environment, private, state))
    assert settings.mode == "production"
    assert settings.warnings == ()
    assert settings.worker == "separate"
    assert settings.durability == "aof-always"
    assert settings.token.secret
    assert settings.certificate_dir


@every_process
def test_every_variable_is_a_setting(process: Process) -> None:
    env = Environment({})
    _read(env)
    assert set(process.environment) <= env.known


@every_process
def test_no_secret_is_a_variable(process: Process) -> None:
    needed = {*NEEDED, "RESOLVER_TOKEN_SECRET", "RESOLVER_METRICS_TOKEN", "REDIS_URL"}
    assert process.secrets >= needed - (BACKEND_SECRETS if process.faces_the_internet else set())
    assert not process.secrets & set(process.environment)


@every_process
def test_internet_facing_process_neither_has_backend_secrets_nor_serves_backends(
    process: Process, private: Path, state: Path
) -> None:
    settings = load(here(process.environment, private, state))
    assert settings.knows_backends is not process.faces_the_internet
    if process.faces_the_internet:
        assert not process.secrets & BACKEND_SECRETS
        assert (settings.velt_auth_token, settings.caller_tokens) == (None, {})
        assert settings.surfaces == {"callback", "metrics"}


@every_process
@pytest.mark.parametrize("name", NEEDED)
def test_required_setting_is_given_by_its_file_alone(
    process: Process, name: str, private: Path, state: Path
) -> None:
    given = here(process.environment, private, state)
    if process.faces_the_internet and name in BACKEND_SECRETS:
        assert f"{name}_FILE" not in given
        return
    del given[f"{name}_FILE"]
    with pytest.raises(SettingsError, match=f"{name}: is required"):
        load(given)


@every_process
def test_stop_time_covers_draining_and_finishing(process: Process) -> None:
    assert process.seconds_to_stop >= process.seconds_needed + 5
