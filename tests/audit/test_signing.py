"""Only signatures by the own keys hold, and by former keys that one of them has signed."""

from __future__ import annotations

import base64
import hashlib

import pytest

from resolver.audit.chain import GENESIS, Link, chain_start, linked, split_line
from resolver.audit.signing import (
    Signer,
    is_public_key,
    is_signed,
    is_stranger,
    proofs,
    succession,
    trusted,
)
from resolver.config.secret import Secret

OWN, FORMER, FORGER = (Signer([Secret(bytes([n]) * 32)]) for n in (1, 2, 3))


def test_signing_key_is_the_seed_of_an_ed25519_key() -> None:
    """Other versions verify what this one signs, and the other way round."""
    assert OWN.public_key == "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="
    assert OWN.sign(b"text") == Signer([Secret(bytes([1]) * 32)]).sign(b"text")


def test_first_of_several_keys_signs() -> None:
    both = Signer([Secret(bytes([2]) * 32), Secret(bytes([1]) * 32)])
    assert (both.public_key, both.public_keys) == (FORMER.public_key, (FORMER.public_key, OWN.public_key))
    assert both.sign(b"text") == FORMER.sign(b"text")


def test_signature_holds_for_its_text_and_key_alone() -> None:
    signature = OWN.sign(b"text")
    assert is_signed(b"text", signature, OWN.public_key)
    assert not is_signed(b"another", signature, OWN.public_key)
    assert not is_signed(b"text", signature, FORGER.public_key)
    assert not is_signed(b"text", FORGER.sign(b"text"), OWN.public_key)


@pytest.mark.parametrize("junk", ["", "junk", "\ud800", "AAAA", "None"])
def test_junk_is_neither_a_signature_nor_a_key(junk: str) -> None:
    assert not is_signed(b"text", junk, OWN.public_key)
    assert not is_signed(b"text", OWN.sign(b"text"), junk)
    assert not is_public_key(junk)


def test_text_around_a_key_or_signature_is_not_overlooked() -> None:
    """Python's decoder skips foreign characters unless it is told not to."""
    signature, key = OWN.sign(b"text"), OWN.public_key
    assert not is_signed(b"text", f"*{signature}", key)
    assert not is_signed(b"text", signature, f"*{key}")
    assert not is_public_key(f"*{key}")


@pytest.mark.parametrize(("size", "is_key"), [(31, False), (32, True), (33, False)])
def test_public_key_has_32_bytes(size: int, is_key: bool) -> None:
    assert is_public_key(base64.b64encode(bytes(size)).decode()) is is_key


def noted(*pairs: tuple[Signer, Signer]) -> dict[tuple[str, str], str]:
    """Proofs of these: the first of each pair trusts the second."""
    return {(by.public_key, key.public_key): by.sign(succession(key.public_key)) for by, key in pairs}


NEW = Signer([Secret(bytes([9]) * 32)])
BOTH = Signer([Secret(bytes([9]) * 32), Secret(bytes([1]) * 32)])
"""NEW before OWN."""


def test_former_key_is_trusted_only_if_the_own_key_has_signed_it() -> None:
    proof = OWN.sign(succession(FORMER.public_key))
    found = {
        **noted((OWN, FORMER), (FORGER, FORGER)),
        (OWN.public_key, FORGER.public_key): proof,
        (FORGER.public_key, NEW.public_key): proof,
    }
    assert trusted(OWN.public_keys, found) == (OWN.public_key, FORMER.public_key)
    assert trusted(OWN.public_keys, {}) == (OWN.public_key,)
    assert succession("key") == b"vnr former signing key\nkey"


def test_every_listed_key_vouches_for_the_keys_that_it_has_signed() -> None:
    found = noted((OWN, FORMER), (OWN, OWN))
    assert trusted(BOTH.public_keys, found) == (*BOTH.public_keys, FORMER.public_key)
    assert trusted([NEW.public_key], found) == (NEW.public_key,)


def test_proofs_keep_former_keys_trusted_when_their_private_keys_are_dropped() -> None:
    found = noted((OWN, FORMER), (OWN, OWN))
    found |= proofs(BOTH, found)
    assert set(trusted(NEW.public_keys, found)) == {key.public_key for key in (NEW, OWN, FORMER)}
    assert proofs(BOTH, found) == proofs(NEW, found) == {}


def test_process_that_still_signs_with_the_former_key_takes_no_trust_from_the_new_one() -> None:
    turned = Signer([Secret(bytes([1]) * 32), Secret(bytes([9]) * 32)])
    found = proofs(BOTH, {})
    found |= proofs(turned, found)
    assert set(trusted(NEW.public_keys, found)) == {NEW.public_key, OWN.public_key}


def test_first_key_notes_itself_alone_in_an_empty_database() -> None:
    assert proofs(OWN, {}) == noted((OWN, OWN))


def test_stranger_is_a_signer_when_only_other_keys_have_signed() -> None:
    found = noted((OWN, OWN))
    assert is_stranger(FORGER, found)
    assert not is_stranger(OWN, found)
    assert not is_stranger(BOTH, found)
    assert not is_stranger(OWN, {})
    assert not is_stranger(FORGER, {("a", "b"): "c", (OWN.public_key, OWN.public_key): "c"})


def test_line_of_a_chain_has_the_documented_form() -> None:
    head, line = linked(chain_start("c1"), "2026-01-01T00:00:00.000Z", b'{"action":"get"}')
    covered = b'{"audit":1,"chain":"c1","seq":0,"at":"2026-01-01T00:00:00.000Z","action":"get"'
    digest = hashlib.sha256(b"0" * 64 + covered).hexdigest()
    assert line == covered + b',"hash":"' + digest.encode() + b'"}\n'
    assert head == Link("c1", 0, digest)
    assert (chain_start("c1"), GENESIS) == (Link("c1", -1, GENESIS), "0" * 64)


def test_line_is_split_at_its_last_hash() -> None:
    """An event may contain the text that stands before a hash."""
    _, line = linked(chain_start("c1"), "now", b'{"id":",\\"hash\\":\\"","hash":"x"}')
    covered, digest = split_line(line)
    assert covered + b',"hash":"' + digest.encode() + b'"}\n' == line
    assert len(digest) == 64
    assert split_line(line.rstrip(b"\n")) == (covered, digest)
    for more in (b" ", b"X", b"\t"):
        assert split_line(line[:-1] + more + b"\n")[1] != digest
    assert split_line(b'{"a":1,"hash":"\xff"}') == (b'{"a":1', "\ufffd")
