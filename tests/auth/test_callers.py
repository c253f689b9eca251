from __future__ import annotations

import pytest

from resolver.auth.callers import Backend, Callers, PrivacyOperator, PrivacyOperators
from resolver.config.secret import Secret
from resolver.errors import PermissionDenied, Unauthenticated

CALLERS = Callers(Secret.of("key"), {"web": Secret.of("web-token"), "jobs": Secret.of("jobs-token")})


@pytest.mark.parametrize("name", ["web", "jobs"])
def test_backend_has_the_name_of_its_token(name: str) -> None:
    assert CALLERS.authenticate("key", f"{name}-token") == Backend(name)


@pytest.mark.parametrize(
    ("key", "token"), [(None, None), ("key", None), (None, "web-token"), ("", "web-token")]
)
def test_a_missing_credential_is_unauthenticated(key: str | None, token: str | None) -> None:
    with pytest.raises(Unauthenticated, match=r"^x-velt-api-key and x-velt-auth-token are required\.$"):
        CALLERS.authenticate(key, token)


@pytest.mark.parametrize(
    ("key", "token"), [("key", "other"), ("other", "web-token"), ("key", "web-token\u00ff")]
)
def test_a_wrong_credential_is_denied_in_velts_words(key: str, token: str) -> None:
    with pytest.raises(PermissionDenied, match=r"^Invalid API key\.$"):
        CALLERS.authenticate(key, token)


OPERATORS = PrivacyOperators({"dpo": Secret.of("dpo-token"), "legal": Secret.of("legal-token")})


@pytest.mark.parametrize("name", ["dpo", "legal"])
def test_privacy_operator_has_the_name_of_its_token(name: str) -> None:
    assert OPERATORS.authenticate(f"{name}-token") == PrivacyOperator(name)


@pytest.mark.parametrize("token", ["", "dpo", "dpo-token ", "dpo-token\ud800"])
def test_privacy_operator_with_a_wrong_token_is_denied(token: str) -> None:
    with pytest.raises(PermissionDenied):
        OPERATORS.authenticate(token)


def test_nobody_is_accepted_where_no_token_is_configured() -> None:
    with pytest.raises(PermissionDenied):
        Callers(Secret.of("key"), {}).authenticate("key", "web-token")
    with pytest.raises(PermissionDenied):
        PrivacyOperators({}).authenticate("dpo-token")
