from __future__ import annotations

from resolver.config.secret import Secret, is_weak


def test_it_does_not_show_itself() -> None:
    secret = Secret.of("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"


def test_it_matches_the_same_text_alone() -> None:
    secret = Secret.of("hunter2")
    assert secret.matches("hunter2")
    assert not secret.matches("hunter")
    assert not secret.matches("hunter2 ")


def test_any_header_value_can_be_compared() -> None:
    assert not Secret.of("hunter2").matches("h\u00fcnter\udcff")


def test_weak_means_short_or_all_the_same() -> None:
    assert is_weak(b"short", 32)
    assert is_weak(b"a" * 64, 32)
    assert not is_weak(b"ab" * 16, 32)
