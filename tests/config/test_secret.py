from __future__ import annotations

from resolver.config.secret import Secret, is_weak


def test_secret_is_masked_in_repr() -> None:
    secret = Secret.of("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


def test_secret_matches_only_the_same_text() -> None:
    secret = Secret.of("hunter2")
    assert secret.matches("hunter2")
    assert not secret.matches("hunter")
    assert not secret.matches("hunter2 ")


def test_secret_can_be_compared_with_any_header_value() -> None:
    assert not Secret.of("hunter2").matches("h\u00fcnter\udcff")


def test_secret_is_weak_when_short_or_one_repeated_byte() -> None:
    assert is_weak(b"short", 32)
    assert is_weak(b"a" * 64, 32)
    assert not is_weak(b"ab" * 16, 32)
