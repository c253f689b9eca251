"""What an operator is asked and told who exports or erases at a terminal."""

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
            "Erase user id 'u' and address 'b@example.com', in organization 'acme' alone?",
        ),
        (["--mentioning", "Ben Okoro"], "Erase all whose text has the words 'Ben Okoro'?"),
        (["--organization", "acme"], "Erase all that is held of organization 'acme'?"),
        (
            ["--user", "u", "--velt-user-data"],
            "Erase user id 'u'; and at Velt all that it has of these users?",
        ),
    ],
)
def test_the_question_says_what_each_name_was_taken_for(
    api: Api, resolver_environment: Environment, arguments: list[str], question: str
) -> None:
    api.add()
    told = asked(resolver_environment, *arguments)
    assert (told.exit_code, question in told.stderr) == (1, True), told.stderr
    assert len(list(api.services.store.scan())) == 1


def test_scripts_read_json_alone_whether_they_are_asked_or_not(
    api: Api, resolver_environment: Environment
) -> None:
    api.add()
    told = asked(resolver_environment, "--user", "ben", "--json", answer="y")
    assert json.loads(told.stdout)["counts"]["removed"] == 1
    assert "Erase user id" in told.stderr


def test_an_erasure_that_found_nobody_says_so_aloud(api: Api, resolver_environment: Environment) -> None:
    api.add()
    for arguments in (["--user", "Ben"], ["--user", "Ben", "--json"]):
        told = run(resolver_environment, "erase", "--yes", *arguments)
        assert (told.exit_code, "NOBODY WAS FOUND" in told.stderr) == (0, True)
        assert "NOBODY" not in told.stdout
    assert "NOBODY" not in run(resolver_environment, "erase", "--yes", "--user", "ben").stderr


def test_records_that_mention_somebody_are_listed_and_where_there_are_none_that_is_said(
    api: Api, resolver_environment: Environment
) -> None:
    api.add(displayBodyMessage="says Obi-Wan Kenobi")
    hits = asked(resolver_environment, "--mentioning", "Kenobi").stderr
    assert "so these go whole:\n  acme n-1\n" in hits
    none = asked(resolver_environment, "--mentioning", "Skywalker").stderr
    assert "No text names them." in none
    assert "go whole" not in none


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["erase"], "--organization is required"),
        (["export"], "--user or --email is required"),
        (["erase", "--organization", "acme", "--user", "ben"], "no --user"),
        (["erase", "--email", "b@example.com", "--velt-user-data"], "--velt-user-data takes --user"),
        (["erase", "--mentioning", "!"], "--mentioning takes"),
        (["erase", "--user", ""], "1 to 512 characters"),
    ],
)
def test_what_cannot_be_meant_is_said_with_the_names_of_options(
    resolver_environment: Environment, arguments: list[str], option: str
) -> None:
    told = run(resolver_environment, *arguments)
    assert (told.exit_code, option in told.output) == (2, True), told.output
    assert "userIds" not in told.output


def test_one_thing_is_one_thing(api: Api, resolver_environment: Environment) -> None:
    api.add()
    assert "1 thing is held." in run(resolver_environment, "export", "--user", "ben").stderr
    assert "0 things are held." in run(resolver_environment, "export", "--user", "zoe").stderr
