"""Misspelt keys: one slip of the keyboard, or nearly all of a key's letters."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.validation.spelling import folded, misspelt, nearest

KEYS = frozenset({"notifyUsers", "notifyAll", "verifyUserPermissions", "context", "userId"})
LETTERS = st.sampled_from("abcdeilnorstuyAU_-7")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("notifyall", "notifyAll"),
        ("notify_all", "notifyAll"),
        ("NOTIFY-ALL", "notifyAll"),
        ("notifyAl", "notifyAll"),
        ("notifyAlll", "notifyAll"),
        ("notifyAlk", "notifyAll"),
        ("notifyAll", None),
        ("ntoifyAll", "notifyAll"),
        ("usreId", "userId"),
        (" context  ", "context"),
        ("user.id", "userId"),
        ("notify\u200bAll" + "\u200b" * 64, "notifyAll"),
        ("notifyUserIds", "notifyUsers"),
        ("verifyUsersPermission", "verifyUserPermissions"),
        ("contnet", None),
        ("notified", None),
        ("", None),
        ("notifyAll" * 1000, None),
    ],
)
def test_misspelling_is_distinguished_from_other_words(name: str, meant: str | None) -> None:
    assert misspelt(name, KEYS) == meant


def test_slips_only_ignores_words_that_contain_a_key() -> None:
    assert misspelt("notifyUserIds", KEYS, slips_only=True) is None
    assert misspelt("notifyUser", KEYS, slips_only=True) == "notifyUsers"


@pytest.mark.parametrize(("name", "suggested"), [("users", "userId"), ("zzz", None), ("x" * 65, None)])
def test_nearest_key_is_suggested_only_when_it_is_near(name: str, suggested: str | None) -> None:
    assert nearest(name, ["userId", "context"]) == suggested


@st.composite
def bent(draw: st.DrawFn) -> str:
    """A key with up to four letters changed, or any short word."""
    letters = list(draw(st.sampled_from(sorted(KEYS))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(letters)))
        letters[at : at + draw(st.integers(0, 1))] = draw(st.lists(LETTERS, max_size=1))
    return "".join(letters)


@given(name=bent() | st.text(LETTERS, max_size=12))
def test_no_name_of_nearly_all_letters_is_missed(name: str) -> None:
    """The cheap tests that come first must not lose any."""
    ratios = [SequenceMatcher(None, folded(name), folded(key)).ratio() for key in KEYS]
    if name not in KEYS and max(ratios) >= 0.9:
        assert misspelt(name, KEYS)
