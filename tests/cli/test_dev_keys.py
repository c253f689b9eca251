"""The secrets that `resolver dev` keeps, and its master keys as they are rotated."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from resolver.cli.dev_state import MasterKeys, managed_master_keys, stored_secrets
from resolver.cli.keys import fresh_secrets
from resolver.config import load


def started(state: Path, **given: str) -> dict[str, str]:
    """The variables of a `resolver dev` that is started with these."""
    return {
        "VELT_API_KEY": "dev",
        "RESOLVER_MODE": "development",
        "RESOLVER_AUDIT_LOG": "/dev/null",
        **stored_secrets(state, given),
        **given,
    }


def labels(state: Path) -> list[str]:
    return list(load(started(state)).master_keys)


@pytest.fixture
def keys(tmp_path: Path) -> MasterKeys:
    found = managed_master_keys(started(tmp_path), tmp_path)
    assert found
    return found


def test_dev_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert started(state) == started(state)
    load(started(state))
    for file in state.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_dev_secrets_of_an_earlier_version_are_kept(tmp_path: Path) -> None:
    old = {**fresh_secrets(), "VELT_AUTH_TOKEN": "a token of Velt's"}
    text = "".join(f"{name}={value}\n" for name, value in old.items())
    (tmp_path / "dev.env").write_text(text)
    settings = load(started(tmp_path))
    label, key = old["RESOLVER_MASTER_KEYS"].split(":", 1)
    assert list(settings.master_keys) == [label]
    assert settings.master_keys[label].reveal_bytes() == base64.b64decode(key)
    assert settings.privacy_tokens
    assert (tmp_path / "dev.env").read_text().startswith(text)


def test_new_dev_key_opens_first_and_seals_later(tmp_path: Path, keys: MasterKeys) -> None:
    (first,) = labels(tmp_path)
    second = keys.add_second()
    assert labels(tmp_path) == [first, second]
    keys.put_first(second)
    assert labels(tmp_path) == [second, first]
    third = keys.add_second()
    assert labels(tmp_path) == [second, third, first]
    keys.put_first(third)
    assert labels(tmp_path) == [third, second, first]


def test_dev_secrets_survive_an_interrupted_write(tmp_path: Path, keys: MasterKeys) -> None:
    (tmp_path / "master-keys.new").write_text("k9:half of a k")
    (first,) = labels(tmp_path)
    assert labels(tmp_path) == [first]
    keys.add_second()
    assert labels(tmp_path)[0] == first
    assert not (tmp_path / "master-keys.new").exists()


@pytest.mark.parametrize("source", ["", "_FILE", "_COMMAND"])
def test_given_master_keys_are_used_and_not_rotated(tmp_path: Path, source: str) -> None:
    own = "mine:" + fresh_secrets()["RESOLVER_INDEX_KEY"]
    (tmp_path / "own").write_text(own)
    value = {"": own, "_FILE": str(tmp_path / "own"), "_COMMAND": f"cat {tmp_path / 'own'}"}[source]
    variables = started(tmp_path, **{f"RESOLVER_MASTER_KEYS{source}": value})
    assert list(load(variables).master_keys) == ["mine"]
    assert managed_master_keys(variables, tmp_path) is None


def test_dev_secret_may_be_given_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("dpo:" + "0123456789abcdef" * 2)
    variables = started(tmp_path, RESOLVER_PRIVACY_TOKENS_FILE=str(tmp_path / "own"))
    assert list(load(variables).privacy_tokens) == ["dpo"]
