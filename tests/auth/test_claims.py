"""Claims: who a token's person is, in which organizations, and since when the token is valid."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resolver.auth.claims import Claims, EndUser
from resolver.errors import Unauthenticated

CLAIMS = Claims("sub", "orgs")
BEN: dict[str, Any] = {"sub": "ben", "orgs": ["acme"]}


@pytest.mark.parametrize(
    ("iat", "issued_at"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.5, 1_700_000_000.5),
        (0, 0),
        (-1, -1),
        (math.inf, math.inf),
        (math.nan, -math.inf),
        (True, -math.inf),
        ("1700000000", -math.inf),
        ([1], -math.inf),
        (None, -math.inf),
    ],
)
def test_time_of_issue_is_a_number_or_before_every_revocation(iat: Any, issued_at: float) -> None:
    assert CLAIMS.read({**BEN, "iat": iat}).issued_at == issued_at
    assert CLAIMS.read(BEN).issued_at == -math.inf


def test_person_with_another_token_is_the_same_person() -> None:
    assert CLAIMS.read({**BEN, "iat": 7}) == CLAIMS.read(BEN) == EndUser("ben", frozenset({"acme"}))


def test_without_a_documents_claim_no_claim_grants_documents() -> None:
    assert CLAIMS.read({**BEN, "": ["d-1"], "documents": ["d-1"]}).documents == frozenset()


def test_name_of_a_claim_precedes_the_path_that_it_spells() -> None:
    nested = Claims("who.id", "https://example.com/orgs", "app.docs")
    claims = {"who": {"id": "ben"}, "https://example.com/orgs": "acme", "app": {"docs": "d-1"}}
    assert nested.read(claims) == EndUser("ben", frozenset({"acme"}), frozenset({"d-1"}))
    assert nested.read({**claims, "who.id": "zoe"}).user == "zoe"


@pytest.mark.parametrize("who", ["ben", ["ben"], None, 7, {}, {"id": {"id": "ben"}}])
def test_path_that_leads_nowhere_names_nobody(who: Any) -> None:
    with pytest.raises(Unauthenticated):
        Claims("who.id", "orgs").read({**BEN, "who": who})


def test_claims_are_written_where_they_are_read() -> None:
    """A URL is one name, and so is a name without dots."""
    assert CLAIMS.write("ben", ["acme"]) == BEN
    nested = Claims("app.who.id", "app.orgs").write("ben", ["acme"])
    assert nested == {"app": {"who": {"id": "ben"}, "orgs": ["acme"]}}
    url = Claims("sub", "https://example.com/orgs").write("ben", ["acme"])
    assert url == {"sub": "ben", "https://example.com/orgs": ["acme"]}
