"""docs/configuration.md has every setting, and its names, defaults and examples are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from resolver.config import load
from resolver.config.environment import Environment
from resolver.config.reading import _read
from resolver.errors import SettingsError
from tests.servers import authority
from tests.support import environment

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
SOURCES = ("_FILE", "_COMMAND")
# Their defaults are not a value but words.
IN_WORDS = {"required", "not set", "the number of processors"}
# Settings that are refused alone, or warned of: with these beside them, they aren't.
TOGETHER = {
    "RESOLVER_TOKEN_JWKS_CA_FILE": ("RESOLVER_TOKEN_JWKS_URL",),
    "RESOLVER_PERMISSION_TOKEN": ("RESOLVER_PERMISSION_URL",),
}
# What the examples call them, beside what there is in a test.
AUTHORITIES = ("/etc/velt-resolver/tls/identity-ca.pem", "/etc/velt-resolver/tls/outbound-ca.pem")
DIRECTORY = "/var/lib/velt-resolver/certificates"


class Setting(NamedTuple):
    name: str
    default: str
    example: str
    sources: frozenset[str]
    text: str


def _settings() -> list[Setting]:
    found = []
    for part in PAGE.split("\n### ")[1:]:
        name = re.match(r"`([A-Z_]+)`\n", part)
        default, example = (
            re.search(r"^- Default: (.*)", part, re.M),
            re.search(r"^- Example: (.*)", part, re.M),
        )
        assert name, part
        assert default, name
        assert example, name
        sources = re.search(r"^- Also from: (.*)", part, re.M)
        also = frozenset(re.findall(r"`([A-Z_]+)`", sources[1])) if sources else frozenset()
        found.append(Setting(name[1], default[1].strip("`"), example[1].strip("`"), also, part))
    return found


SETTINGS = {setting.name: setting for setting in _settings()}
every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("authority")).ca


def variables(setting: Setting, **changes: str) -> dict[str, str]:
    """A complete environment with this setting at its default, unless it is changed."""
    found = environment(RESOLVER_MODE="", RESOLVER_AUDIT_LOG="")
    found |= {name: SETTINGS[name].example for name in TOGETHER.get(setting.name, ())}
    return {name: value for name, value in found.items() if name != setting.name} | changes


def known() -> set[str]:
    env = Environment(environment())
    _read(env)
    return env.known


def test_every_setting_is_documented_and_every_documented_setting_is_read() -> None:
    sources = {name for name in known() if name.endswith(SOURCES) and name.rpartition("_")[0] in known()}
    assert SETTINGS.keys() == known() - sources


def test_every_file_and_command_that_a_setting_may_come_from_is_documented() -> None:
    sources = {name for name in known() if name.endswith(SOURCES) and name.rpartition("_")[0] in known()}
    assert {source for setting in SETTINGS.values() for source in setting.sources} == sources


@every_setting
def test_setting_says_what_it_does_and_what_happens_when_it_is_wrong(setting: Setting) -> None:
    _, _, described = setting.text.partition(f"- Example: `{setting.example}`\n")
    does, wrong, consequence = described.partition("**When it is wrong:**")
    assert len(re.sub(r"(?m)^- Also from.*", "", does).strip()) > 40
    assert wrong
    assert len(consequence.strip()) > 20


@every_setting
def test_documented_default_is_what_the_code_takes_when_nothing_is_set(setting: Setting) -> None:
    if setting.default == "required":
        with pytest.raises(SettingsError, match=f"{setting.name}: is required"):
            load(variables(setting))
    elif setting.default in IN_WORDS:
        assert load(variables(setting)) == load(variables(setting, **{setting.name: ""}))
    else:
        assert load(variables(setting)) == load(variables(setting, **{setting.name: setting.default}))


@every_setting
def test_documented_example_is_accepted_and_changes_something(
    setting: Setting, ca: Path, tmp_path: Path
) -> None:
    example = setting.example
    for path in AUTHORITIES:
        example = example.replace(path, str(ca))
    example = example.replace(DIRECTORY, str(tmp_path))
    accepted = load(variables(setting, **{setting.name: example}))
    if setting.default != "required":
        assert accepted != load(variables(setting))
