"""End-user tokens: only what we would sign ourselves, for as long as it says, for who it says."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

import jwt
import orjson
import pytest

from resolver.access.tokens import EndUser, Tokens
from resolver.errors import InvalidArgument, Unauthenticated, Unavailable
from resolver.secret import Secret
from resolver.settings import TokenSettings
from tests.support import TOKEN_SECRET

SETTINGS = TokenSettings(
    secret=Secret.of(TOKEN_SECRET),
    issuer="",
    audience="",
    leeway=30,
    user_claim="sub",
    organizations_claim="organizationIds",
)
TOKENS = Tokens(SETTINGS)
BEN = EndUser("ben", frozenset({"acme"}))


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": "ben", "organizationIds": ["acme"], "exp": int(time.time()) + 300, **changes}
    return {name: value for name, value in given.items() if value is not None}


def signed(secret: str = TOKEN_SECRET, algorithm: str = "HS256", headers: Any = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm, headers=headers)


def refused(token: str, tokens: Tokens = TOKENS) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


def test_what_was_minted_is_believed() -> None:
    minted = TOKENS.mint("ben", ["acme", "zeta"], 60)
    assert TOKENS.verify(minted.token) == EndUser("ben", frozenset({"acme", "zeta"}))
    assert abs(minted.expires_at - time.time() - 60) < 3


def test_one_organization_may_come_as_a_string() -> None:
    assert TOKENS.verify(signed(organizationIds="acme")) == BEN


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": int(time.time()) - 31},
        {"exp": "soon"},
        {"nbf": int(time.time()) + 300},
        {"iat": int(time.time()) + 300},
        {"sub": None},
        {"sub": ""},
        {"organizationIds": None},
        {"organizationIds": []},
        {"organizationIds": ""},
        {"organizationIds": [""]},
        {"organizationIds": [7]},
        {"organizationIds": {"acme": True}},
        {"organizationIds": ["acme", None]},
        {"aud": "somebody-else"},
    ],
)
def test_claims_that_do_not_hold_are_refused(changes: dict[str, Any]) -> None:
    refused(signed(**changes))


def test_a_subject_that_is_no_string_is_refused() -> None:
    header = base64.urlsafe_b64encode(orjson.dumps({"alg": "HS256", "typ": "JWT"})).rstrip(b"=")
    body = base64.urlsafe_b64encode(orjson.dumps(claims(sub=7))).rstrip(b"=")
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(header + b"." + body, algorithm.prepare_key(TOKEN_SECRET))
    refused(b".".join((header, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode())


def test_the_leeway_is_given_and_not_more() -> None:
    assert TOKENS.verify(signed(exp=int(time.time()) - 20)) == BEN
    refused(signed(exp=int(time.time()) - 40))


def test_another_secret_is_refused() -> None:
    refused(signed(secret="another-secret-of-sufficient-length-012345"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    refused(signed(secret=TOKEN_SECRET * 2, algorithm=algorithm))


def test_no_algorithm_is_refused() -> None:
    refused(jwt.encode(claims(), "", algorithm="none"))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit"])
def test_a_header_that_brings_its_own_key_is_refused(name: str) -> None:
    value: Any = ["exp"] if name == "crit" else "https://evil.example.com"
    refused(signed(headers={name: value}))


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "....", "Bearer x", "\u00ff.\u00ff.\u00ff", "x" * 8193])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


def test_a_valid_token_over_eight_kilobytes_is_refused() -> None:
    refused(signed(note="x" * 8192))


def test_a_tampered_token_is_refused() -> None:
    head, body, signature = signed().split(".")
    other = signed(sub="ana").split(".")[1]
    refused(f"{head}.{other}.{signature}")
    refused(f"{head}.{body}.")


def test_issuer_and_audience_must_be_right_when_they_are_set() -> None:
    strict = Tokens(replace(SETTINGS, issuer="us", audience="resolver"))
    assert strict.verify(signed(iss="us", aud="resolver")) == BEN
    assert strict.verify(strict.mint("ben", ["acme"]).token) == BEN
    for wrong in (
        {},
        {"iss": "us"},
        {"aud": "resolver"},
        {"iss": "them", "aud": "resolver"},
        {"iss": "us", "aud": "x"},
    ):
        refused(signed(**wrong), strict)


@pytest.mark.parametrize("path", ["org", "app.orgs", "https://example.com/orgs", "a.b.c"])
def test_organizations_are_found_by_name_or_dotted_path(path: str) -> None:
    tokens = Tokens(replace(SETTINGS, organizations_claim=path, user_claim="who.id"))
    assert tokens.verify(tokens.mint("ben", ["acme"]).token) == BEN


def test_without_a_secret_nothing_is_minted_or_believed() -> None:
    without = Tokens(replace(SETTINGS, secret=None))
    refused(signed(), without)
    with pytest.raises(Unavailable):
        without.mint("ben", ["acme"])


def test_a_token_that_would_be_too_long_to_be_believed_is_not_minted() -> None:
    with pytest.raises(InvalidArgument):
        TOKENS.mint("ben", [f"organization-{n:040d}" for n in range(300)])


@pytest.mark.parametrize("seconds", [59, 86_401])
def test_a_lifetime_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidArgument):
        TOKENS.mint("ben", ["acme"], seconds)
