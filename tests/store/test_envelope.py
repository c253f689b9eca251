"""Sealed bytes open under their own key name with a key of the ring, and in no other way."""

from __future__ import annotations

import pytest

from resolver.crypto.envelope import LONGEST_HEADER, Envelope, key_id_of, nonce_of
from resolver.errors import Unreadable
from tests.store.conftest import keyring

NAME = "{p07}n:one"
ENVELOPE = Envelope(keyring("k1"))


def test_sealed_bytes_open() -> None:
    assert ENVELOPE.open(NAME, ENVELOPE.seal(NAME, b"content")) == b"content"


def test_sealing_twice_gives_different_bytes_and_nonces() -> None:
    first, second = ENVELOPE.seal(NAME, b"content"), ENVELOPE.seal(NAME, b"content")
    assert nonce_of(first) != nonce_of(second)
    assert first != second


def test_any_flipped_bit_is_refused() -> None:
    sealed = ENVELOPE.seal(NAME, b"content")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(Unreadable):
            ENVELOPE.open(NAME, bytes(broken))


def test_any_truncation_is_refused() -> None:
    sealed = ENVELOPE.seal(NAME, b"content")
    for length in range(len(sealed)):
        with pytest.raises(Unreadable):
            ENVELOPE.open(NAME, sealed[:length])


@pytest.mark.parametrize("name", ["{p07}n:two", "{p08}n:one"])
def test_a_value_moved_to_another_name_is_refused(name: str) -> None:
    with pytest.raises(Unreadable):
        ENVELOPE.open(name, ENVELOPE.seal(NAME, b"content"))


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, both = ENVELOPE.seal(NAME, b"content"), Envelope(keyring("k2", "k1"))
    assert both.open(NAME, old) == b"content"
    assert key_id_of(both.seal(NAME, b"content")) == "k2"


def test_a_withdrawn_key_no_longer_opens() -> None:
    with pytest.raises(Unreadable):
        Envelope(keyring("k2")).open(NAME, ENVELOPE.seal(NAME, b"content"))


def test_a_key_of_the_same_length_under_another_id_does_not_open() -> None:
    relabelled = ENVELOPE.seal(NAME, b"content").replace(b"k1", b"zz", 1)
    with pytest.raises(Unreadable):
        Envelope(keyring("zz")).open(NAME, relabelled)


def test_every_failure_to_open_is_the_same_error() -> None:
    sealed = ENVELOPE.seal(NAME, b"content")
    messages = set()
    for name, value in ((NAME, sealed[:-1]), ("{p07}n:x", sealed), (NAME, b""), (NAME, b"\x02" + sealed[1:])):
        with pytest.raises(Unreadable) as caught:
            ENVELOPE.open(name, value)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_sealed_bytes_have_the_documented_layout() -> None:
    """Version, nonce, length of the key id, key id: what other versions wrote must stay readable."""
    sealed = ENVELOPE.seal(NAME, b"content")
    assert (sealed[:1], nonce_of(sealed), sealed[13:16]) == (b"\x01", sealed[1:13], b"\x02k1")
    assert len(sealed) == 1 + 12 + 1 + 2 + len(b"content") + 16


def test_key_id_is_read_from_the_longest_header_alone() -> None:
    longest = "k" * 32
    sealed = Envelope(keyring(longest)).seal(NAME, b"content")
    assert key_id_of(sealed[:LONGEST_HEADER]) == longest


@pytest.mark.parametrize("sealed", [b"", b"\x01" * 13])
def test_bytes_too_short_for_a_header_have_no_key_id(sealed: bytes) -> None:
    assert key_id_of(sealed) == ""


def test_key_id_that_is_no_ascii_names_no_key() -> None:
    sealed = ENVELOPE.seal(NAME, b"content").replace(b"k1", b"\xffk", 1)
    assert key_id_of(sealed) == "\ufffdk"
    with pytest.raises(Unreadable):
        ENVELOPE.open(NAME, sealed)


@pytest.mark.parametrize("label", [b"k2", b"\xffk", b""])
def test_keyring_refuses_the_id_of_an_unknown_key(label: bytes) -> None:
    with pytest.raises(Unreadable):
        keyring("k1")[b"{p07}" + label]


def test_value_is_fresh_only_under_the_first_key() -> None:
    old, both = ENVELOPE.seal(NAME, b"content"), Envelope(keyring("k2", "k1"))
    assert (both.sealing_id, both.is_fresh(old), ENVELOPE.is_fresh(old)) == ("k2", False, True)
    fresh = both.reseal(NAME, old)
    assert both.is_fresh(fresh)
    assert Envelope(keyring("k2")).open(NAME, fresh) == b"content"


def test_tampered_value_is_not_resealed() -> None:
    with pytest.raises(Unreadable):
        ENVELOPE.reseal("{p07}n:two", ENVELOPE.seal(NAME, b"content"))
