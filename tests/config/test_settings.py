"""The settings: every problem at once, secrets from files and commands, nothing printed by accident."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from resolver.config import load
from resolver.config.secret import Secret
from resolver.errors import SettingsError
from tests.support import CALLER_TOKEN, VELT_TOKEN, environment, key

Write = Callable[[str, str], Path]


def problems(variables: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(variables)
    return caught.value.problems


def test_an_empty_environment_names_every_required_variable_at_once() -> None:
    named = {problem.split(":")[0] for problem in problems({})}
    assert named == {
        "VELT_API_KEY",
        "VELT_AUTH_TOKEN",
        "RESOLVER_CALLER_TOKENS",
        "RESOLVER_MASTER_KEYS",
        "RESOLVER_INDEX_KEY",
        "RESOLVER_SIGNING_KEY",
    }


def test_what_is_missing_or_weak_says_what_to_type() -> None:
    for problem in problems({}):
        name = problem.split(":")[0]
        assert f"{name}=" in problem
        assert f"{name}_FILE=" in problem
        assert ("resolver keys new" in problem) == name.startswith("RESOLVER_")
    (weak,) = problems(environment(RESOLVER_METRICS_TOKEN="short"))
    assert "openssl rand -hex 32" in weak


@pytest.mark.parametrize(
    "name",
    [
        "VELT_API_KEY",
        "VELT_AUTH_TOKEN",
        "RESOLVER_CALLER_TOKENS",
        "RESOLVER_MASTER_KEYS",
        "RESOLVER_INDEX_KEY",
        "RESOLVER_SIGNING_KEY",
    ],
)
def test_a_missing_required_variable_is_named(name: str) -> None:
    assert [p.split(":")[0] for p in problems({**environment(), name: " "})] == [name]


def test_the_documented_defaults_hold() -> None:
    settings = load(environment(RESOLVER_MODE=""))
    assert settings.mode == "production"
    assert settings.velt_api_url == "https://api.velt.dev"
    assert settings.redis_url.reveal() == "redis://127.0.0.1:6379/0"
    assert (settings.read_policy, settings.delete_policy) == ("recipient", "recipient")
    assert (settings.deadline_ms, settings.retention_days, settings.trusted_proxies) == (2000, 90, 0)
    assert settings.surfaces == {"callback", "mirror", "token", "privacy", "metrics"}
    assert settings.bind == "127.0.0.1:8080"
    assert settings.cors_origins == frozenset()


def test_velts_own_token_is_refused_as_a_caller_token() -> None:
    same = "x1" * 20
    found = problems(
        environment(VELT_AUTH_TOKEN=same, RESOLVER_CALLER_TOKENS=f"backend:{same}", RESOLVER_MODE="")
    )
    assert len(found) == 1
    assert "VELT_AUTH_TOKEN" in found[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESOLVER_CALLER_TOKENS", "backend:short"),
        ("RESOLVER_CALLER_TOKENS", "backend:" + "a" * 40),
        ("RESOLVER_CALLER_TOKENS", "no-name-at-all"),
        ("RESOLVER_CALLER_TOKENS", f"a:{'xy' * 20},a:{'yz' * 20}"),
        ("RESOLVER_CALLER_TOKENS", f"a:{'xy' * 20},b:{'xy' * 20}"),
        ("RESOLVER_MASTER_KEYS", "k1:not-base64!"),
        ("RESOLVER_MASTER_KEYS", "k1:c2hvcnQ="),
        ("RESOLVER_MASTER_KEYS", "k1:" + "A" * 43 + "="),
        ("RESOLVER_INDEX_KEY", "A" * 43 + "="),
        ("RESOLVER_INDEX_KEY", key(1)),
        ("RESOLVER_TOKEN_SECRET", "too-short"),
        ("RESOLVER_MODE", "prod"),
        ("RESOLVER_READ_POLICY", "everybody"),
        ("RESOLVER_DELETE_POLICY", "anyone"),
        ("RESOLVER_DEADLINE_MS", "fast"),
        ("RESOLVER_DEADLINE_MS", "999"),
        ("RESOLVER_RETENTION_DAYS", "-1"),
        ("RESOLVER_TOKEN_LEEWAY", "61"),
        ("RESOLVER_SURFACES", "callback,mirrors"),
        ("RESOLVER_CORS_ORIGINS", "*"),
        ("RESOLVER_CORS_ORIGINS", "null"),
        ("RESOLVER_CORS_ORIGINS", "https://*.example.com"),
        ("RESOLVER_CORS_ORIGINS", "https://app.example.com/"),
        ("RESOLVER_CORS_ORIGINS", r"https://app\.example\.com"),
        ("RESOLVER_BIND", "8080"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "redis://127.0.0.1:notaport/0"),
        ("REDIS_URL", "redis://127.0.0.1/notadb"),
        ("REDIS_URL", "redis://127.0.0.1/0?socket_timeout=60"),
        ("REDIS_URL", "redis://127.0.0.1/0?decode_responses=true"),
        ("REDIS_URL", "rediss://127.0.0.1/0?ssl_cert_reqs=none"),
        ("RESOLVER_SURFACES", ","),
        ("RESOLVER_READ_POLICY", "document"),
        ("RESOLVER_TOKEN_JWKS_URL", "id.example.com/jwks"),
        ("RESOLVER_TOKEN_JWKS_CA_FILE", "/nowhere/ca.pem"),
        ("RESOLVER_TOKEN_PUBLIC_KEY", "MIIB"),
        ("RESOLVER_TOKEN_ALGORITHMS", "HS256,none"),
        ("RESOLVER_TOKEN_ALGORITHMS", ","),
        ("RESOLVER_TOKEN_DOCUMENTS_CLAIM", "aud"),
        ("RESOLVER_TOKEN_COOKIE", "two words"),
        ("RESOLVER_PERMISSION_TOKEN", "of-no-use-without-an-address"),
        ("RESOLVER_PERMISSION_URL", "https://user:pass@perm.example.com"),
        ("RESOLVER_WITHHELD_HEADLINE", "two\nlines"),
        ("RESOLVER_WITHHELD_HEADLINE", "x" * 201),
        ("RESOLVER_RATE_LIMIT", "600"),
        ("RESOLVER_RATE_LIMIT", "0/minute"),
        ("RESOLVER_RATE_LIMIT", "10/fortnight"),
        ("RESOLVER_CORS_ORIGINS", "https://.."),
        ("RESOLVER_CORS_ORIGINS", "https://app.example.com:443"),
        ("RESOLVER_CORS_ORIGINS", "https://app.example.com:99999"),
        ("RESOLVER_OUTBOUND_PROXY", "proxy.internal:3128"),
        ("RESOLVER_OUTBOUND_PROXY", "socks5://proxy.internal:1080"),
        ("RESOLVER_OUTBOUND_PROXY", "http://"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter2@proxy.internal:notaport"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter2@proxy.internal/path"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter2@proxy.internal?a=b"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter2%0d%0aX:%20y@proxy.internal"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter2%c3%a9@proxy.internal"),
        ("RESOLVER_OUTBOUND_PROXY", "http://user:hunter 2@proxy.internal"),
        ("RESOLVER_OUTBOUND_CA_FILE", "/nowhere/ca.pem"),
        ("RESOLVER_OUTBOUND_CA_FILE", "/dev/null"),
        ("VELT_API_KEY", "two\r\nlines"),
        ("RESOLVER_METRICS_TOKEN", "\udcff" * 40),
        ("REDIS_URL", "redis://127.0.0.1/\udcff"),
        ("VELT_AUTH_TOKEN", "not \u00fcber ASCII"),
        ("VELT_API_URL", "https://api.velt.dev/a b"),
        ("VELT_API_URL", "ftp://api.velt.dev"),
        ("VELT_API_URL", "https://user:pass@api.velt.dev"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "auto"),
        ("RESOLVER_OUTBOX_MAX_ATTEMPTS", "0"),
    ],
)
def test_a_weak_or_wrong_value_is_refused_by_name_and_never_repeated_as_a_secret(
    name: str, value: str
) -> None:
    found = problems(environment(**{name: value}))
    assert {problem.split(":")[0] for problem in found} == {name}
    assert not any("hunter2" in problem for problem in found)
    if name in (
        "RESOLVER_CALLER_TOKENS",
        "RESOLVER_MASTER_KEYS",
        "RESOLVER_INDEX_KEY",
        "RESOLVER_SIGNING_KEY",
        "RESOLVER_TOKEN_SECRET",
    ):
        assert not any(value.rsplit(":", maxsplit=1)[-1] in problem for problem in found)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("RESOLVER_TOKEN_SECRET", "VELT_AUTH_TOKEN"),
        ("RESOLVER_TOKEN_SECRET", "VELT_API_KEY"),
        ("VELT_AUTH_TOKEN", "VELT_API_KEY"),
    ],
)
def test_every_secret_has_one_use(name: str, other: str) -> None:
    same = "one-secret-for-two-purposes-0123456789"
    (problem,) = problems(environment(**{name: same, other: same}))
    assert name in problem
    assert other in problem


@pytest.mark.parametrize(
    "other", ["VELT_API_KEY", "VELT_AUTH_TOKEN", "RESOLVER_TOKEN_SECRET", "RESOLVER_INDEX_KEY"]
)
def test_caller_token_must_differ_from_other_secrets(other: str) -> None:
    same = key(9)
    (problem,) = problems(
        environment(
            **{
                other: same,
                "RESOLVER_CALLER_TOKENS": f"a:{same}",
                "RESOLVER_INDEX_KEY": same if other == "RESOLVER_INDEX_KEY" else key(8),
            }
        )
    )
    assert "RESOLVER_CALLER_TOKENS" in problem
    assert other in problem


def test_master_keys_must_differ() -> None:
    assert problems(environment(RESOLVER_MASTER_KEYS=f"a:{key(3)},b:{key(3)}"))


@pytest.mark.parametrize("name", ["RESOLVER_CALLER_TOKENS", "RESOLVER_MASTER_KEYS"])
def test_a_secret_in_the_place_of_a_name_is_not_repeated(name: str) -> None:
    secret = "S3cretS3cretS3cretS3cretS3cret32"
    assert secret not in " ".join(problems(environment(**{name: f"{secret}:backend"})))


@pytest.mark.parametrize(
    ("user", "organizations"),
    [("sub", "sub.orgs"), ("a.b", "a"), ("a", "a"), ("exp", "orgs"), ("sub", "iss")],
)
def test_claims_that_cannot_both_be_minted_are_refused(user: str, organizations: str) -> None:
    changes = {"RESOLVER_TOKEN_USER_CLAIM": user, "RESOLVER_TOKEN_ORGANIZATIONS_CLAIM": organizations}
    assert problems(environment(**changes))


@pytest.mark.parametrize("content", ["", "\n", "x" * 70_000])
def test_a_secret_file_without_a_secret_is_a_problem(write: Write, content: str) -> None:
    found = problems(
        environment(RESOLVER_TOKEN_SECRET="", RESOLVER_TOKEN_SECRET_FILE=str(write("s", content)))
    )
    assert found[0].startswith("RESOLVER_TOKEN_SECRET_FILE")


def test_a_pipe_for_a_secret_file_does_not_hang_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert problems(environment(VELT_API_KEY="", VELT_API_KEY_FILE=str(tmp_path / "pipe")))


def test_production_wants_https_for_velt_and_loopback_is_the_exception() -> None:
    assert problems(environment(RESOLVER_MODE="production", VELT_API_URL="http://api.velt.dev")) == [
        "VELT_API_URL: must be https in production"
    ]
    assert load(environment(RESOLVER_MODE="production", VELT_API_URL="http://127.0.0.1:9000"))


def test_a_secret_comes_from_a_file_without_its_trailing_newline(write: Write) -> None:
    variables = environment(VELT_AUTH_TOKEN="", VELT_AUTH_TOKEN_FILE=str(write("token", "from a file\n")))
    assert load(variables).velt_auth_token == Secret.of("from a file")


ALONE = {"RESOLVER_SURFACES": "callback,metrics,docs", "RESOLVER_WORKER": "separate"}
UNNEEDED = ("VELT_AUTH_TOKEN", "RESOLVER_CALLER_TOKENS")


def test_callback_only_instance_requires_no_credential_of_backends_or_velt() -> None:
    settings = load(environment(**ALONE, **dict.fromkeys(UNNEEDED, "")))
    assert (settings.velt_auth_token, settings.caller_tokens, settings.warnings) == (None, {}, ())
    assert not settings.knows_backends


@pytest.mark.parametrize(
    "changes",
    [
        {"RESOLVER_WORKER": "embedded"},
        {"RESOLVER_SURFACES": "callback,mirror"},
        {"RESOLVER_SURFACES": "callback,token"},
        {"RESOLVER_SURFACES": "callback,privacy"},
        {"RESOLVER_SURFACES": ""},
    ],
)
def test_other_instances_require_credentials_of_backends_and_velt(changes: dict[str, str]) -> None:
    found = problems(environment(**{**ALONE, **changes}, **dict.fromkeys(UNNEEDED, "")))
    assert [problem.partition(":")[0] for problem in found] == list(UNNEEDED)
    assert all("is required" in problem for problem in found)


def test_callback_only_instance_warns_of_unneeded_secrets(write: Write) -> None:
    assert [warning.partition(" ")[0] for warning in load(environment(**ALONE)).warnings] == list(UNNEEDED)
    file = {"VELT_AUTH_TOKEN": "", "VELT_AUTH_TOKEN_FILE": str(write("token", VELT_TOKEN))}
    assert len(load(environment(**ALONE, **file)).warnings) == 2


def test_callback_only_instance_refuses_a_weak_caller_token() -> None:
    (problem,) = problems(environment(**ALONE, RESOLVER_CALLER_TOKENS="backend:short"))
    assert "too weak" in problem


def test_a_secret_given_twice_is_a_contradiction(write: Write) -> None:
    variables = environment(VELT_AUTH_TOKEN_FILE=str(write("token", VELT_TOKEN)))
    assert "more than once" in problems(variables)[0]


def test_a_secret_file_that_is_not_there_is_named() -> None:
    found = problems(environment(VELT_AUTH_TOKEN="", VELT_AUTH_TOKEN_FILE="/nowhere/at/all"))
    assert any(problem.startswith("VELT_AUTH_TOKEN_FILE") for problem in found)


def test_master_keys_may_come_from_a_command(write: Write) -> None:
    script = write("kms", f"k7:{key(7)},k1:{key(1)}\n")
    variables = environment(RESOLVER_MASTER_KEYS="", RESOLVER_MASTER_KEYS_COMMAND=f"cat {script}")
    assert list(load(variables).master_keys) == ["k7", "k1"]


def test_a_failing_key_command_is_named_without_its_output() -> None:
    variables = environment(
        RESOLVER_MASTER_KEYS="", RESOLVER_MASTER_KEYS_COMMAND="sh -c 'echo leaked-key; exit 3'"
    )
    found = problems(variables)
    assert any(problem.startswith("RESOLVER_MASTER_KEYS_COMMAND") for problem in found)
    assert "leaked-key" not in " ".join(found)


def test_no_secret_shows_in_the_settings_repr() -> None:
    variables = environment(
        REDIS_URL="redis://:hunter2-password@127.0.0.1:6379/0",
        RESOLVER_OUTBOUND_PROXY="http://us%40er:hunter2-password@proxy.internal:3128",
    )
    shown = repr(load(variables))
    secret_parts = [
        variables[name].split(":")[-1]
        for name in variables
        if re.search("KEY|TOKEN", name) and name != "RESOLVER_TOKEN_LEEWAY"
    ]
    assert not [part for part in [*secret_parts, "hunter2-password"] if part in shown]


def test_settings_cannot_be_changed() -> None:
    settings = load(environment())
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.mode = "production"  # type: ignore[misc]


def test_certificate_directory_must_exist(tmp_path: Path) -> None:
    assert load(environment(RESOLVER_CERTIFICATE_DIR=str(tmp_path))).certificate_dir == str(tmp_path)
    (problem,) = problems(environment(RESOLVER_CERTIFICATE_DIR=str(tmp_path / "absent")))
    assert problem.startswith("RESOLVER_CERTIFICATE_DIR")


def test_privacy_token_must_differ_from_other_secrets() -> None:
    (problem,) = problems(environment(RESOLVER_PRIVACY_TOKENS=f"dpo:{CALLER_TOKEN}"))
    assert "RESOLVER_PRIVACY_TOKENS" in problem


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("RESOLVER_REDIS_URL", "REDIS_URL"),
        ("VELT_AUTH_TOKN", "VELT_AUTH_TOKEN"),
        ("VELT_APIKEY", "VELT_API_KEY"),
    ],
)
def test_settings_warn_of_a_name_close_to_a_setting(wrong: str, right: str) -> None:
    assert f"{wrong} is not a setting; {right} may be meant" in load(environment(**{wrong: "x"})).warnings


def test_settings_report_one_problem_per_cause() -> None:
    assert len(problems(environment(VELT_AUTH_TOKEN="", VELT_AUTH_TOKEN_FILE="/nowhere"))) == 1


def test_settings_warn_of_misspelt_names_but_not_of_an_orchestrators() -> None:
    settings = load(environment(RESOLVER_RETENTION_DAY="1", RESOLVER_SERVICE_HOST="10.0.0.1"))
    assert settings.warnings == (
        "RESOLVER_RETENTION_DAY is not a setting; RESOLVER_RETENTION_DAYS may be meant",
    )
