"""The questions and output of the export and erase commands at a terminal."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from resolver.cli import main
from tests.erasing import run
from tests.support import Api

Environment = dict[str, str]


def asked(env: Environment, *arguments: str, answer: str = "n") -> Result:
    return CliRunner().invoke(main, ["privacy", "erase", *arguments], env=env, input=f"{answer}\n")


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["--user", "ben"], "Erase user id 'ben'?"),
        (["--user", "ben", "--user", "b2"], "Erase user ids 'ben', 'b2'?"),
        (
            ["--user", "u", "--email", "b@example.com", "--org", "acme"],
            "Erase user id 'u' and address 'b@example.com', only in organization 'acme'?",
        ),
        (["--mentioning", "Ben Okoro"], "Erase all notifications whose text has the words 'Ben Okoro'?"),
        (["--organization", "acme"], "Erase everything stored for organization 'acme'?"),
        (
            ["--user", "u", "--velt-user-data"],
            "Erase user id 'u'; and at Velt all data of these users?",
        ),
    ],
)
def test_privacy_erase_confirmation_shows_how_each_name_was_understood(
    api: Api, resolver_environment: Environment, arguments: list[str], question: str
) -> None:
    api.add()
    told = asked(resolver_environment, *arguments)
    assert (told.exit_code, question in told.stderr) == (1, True), told.stderr
    assert len(list(api.services.store.scan())) == 1


def test_privacy_erase_prints_only_json_on_stdout(api: Api, resolver_environment: Environment) -> None:
    api.add()
    told = asked(resolver_environment, "--user", "ben", "--json", answer="y")
    assert json.loads(told.stdout)["counts"]["removed"] == 1
    assert "Erase user id" in told.stderr


def test_privacy_erase_warns_when_it_finds_no_one(api: Api, resolver_environment: Environment) -> None:
    api.add()
    for arguments in (["--user", "Ben"], ["--user", "Ben", "--json"]):
        told = run(resolver_environment, "erase", "--yes", *arguments)
        assert (told.exit_code, "NOBODY WAS FOUND" in told.stderr) == (0, True)
        assert "NOBODY" not in told.stdout
    assert "NOBODY" not in run(resolver_environment, "erase", "--yes", "--user", "ben").stderr


def test_privacy_erase_lists_records_that_mention_a_name(api: Api, resolver_environment: Environment) -> None:
    api.add(displayBodyMessage="says Obi-Wan Kenobi")
    hits = asked(resolver_environment, "--mentioning", "Kenobi").stderr
    assert "will be removed:\n  acme n-1\n" in hits
    none = asked(resolver_environment, "--mentioning", "Skywalker").stderr
    assert "No text has the name." in none
    assert "will be removed" not in none


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["erase"], "--organization is required"),
        (["export"], "--user or --email is required"),
        (["erase", "--organization", "acme", "--user", "ben"], "don't combine it with --user"),
        (["erase", "--email", "b@example.com", "--velt-user-data"], "--velt-user-data requires --user"),
        (["erase", "--mentioning", "!"], "--mentioning requires"),
        (["erase", "--user", ""], "1 to 512 characters"),
    ],
)
def test_privacy_erase_names_the_options_when_the_request_is_invalid(
    resolver_environment: Environment, arguments: list[str], option: str
) -> None:
    told = run(resolver_environment, *arguments)
    assert (told.exit_code, option in told.output) == (2, True), told.output
    assert "userIds" not in told.output


def test_privacy_erase_uses_the_singular_for_one(api: Api, resolver_environment: Environment) -> None:
    api.add()
    assert "1 object exported." in run(resolver_environment, "export", "--user", "ben").stderr
    assert "0 objects exported." in run(resolver_environment, "export", "--user", "zoe").stderr
