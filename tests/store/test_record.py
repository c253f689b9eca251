"""A record: a typed header for decisions, content as bytes that are never parsed on the way out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from resolver.errors import Unreadable
from resolver.store.record import Record, opened

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | names
anything = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=5)
records = st.builds(
    Record,
    organization=names,
    notification=names,
    document=names,
    actor=names,
    audience=st.lists(names, max_size=3).map(tuple),
    everyone=st.booleans(),
    verified=st.booleans(),
    dismissed_by=st.lists(names, max_size=3).map(tuple),
    created=st.integers(0, 2**50),
    private=st.dictionaries(names.filter(lambda name: name != "context"), anything, max_size=2),
    content=st.dictionaries(names, names, max_size=3).map(orjson.dumps),
)
RECORD = Record("acme", "n-1", "d-1", "ana", ("ben",), False, content=b'{"a":1}')
FIELDS = msgspec.to_builtins(RECORD, builtin_types=(bytes,))


def changed(position: int, value: Any) -> bytes:
    return msgspec.msgpack.encode([*FIELDS[:position], value, *FIELDS[position + 1 :]])


@given(records)
def test_record_survives_encoding_and_decoding(record: Record) -> None:
    assert Record.from_bytes(record.to_bytes()) == record


@given(records)
def test_read_decodes_the_header_and_keeps_the_bytes_of_the_content(record: Record) -> None:
    found = opened(record.to_bytes())
    assert found.content == record.content
    assert all(getattr(found, name) == getattr(record, name) for name in found.__struct_fields__)


def test_record_is_narrowed_exactly_by_its_context_access() -> None:
    """The flag is derived, so that no writer can forget it."""
    narrowing = {"context": {"access": {"team": "red"}}}
    narrowed = replace(RECORD, private=narrowing)
    assert opened(narrowed.to_bytes()).narrowed
    assert not opened(replace(narrowed, private={"context": {"access": {}}}).to_bytes()).narrowed
    assert not replace(RECORD, narrowed=True).narrowed
    assert replace(narrowed, narrowed=False).narrowed


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\x00\x00\x00\x02{}{}",  # as schema 2 had it
        b"\xff",
        msgspec.msgpack.encode({"organization": "acme"}),
        msgspec.msgpack.encode(FIELDS[:4]),  # defaults would make it a record for everyone
        msgspec.msgpack.encode(FIELDS[:-1]),
        msgspec.msgpack.encode([*FIELDS, "more"]),
        RECORD.to_bytes() + b"\x00",
        *(changed(n, 7) for n in range(9)),
        *(changed(n, None) for n in range(12)),
        *(changed(n, [7]) for n in (4, 7)),
        changed(4, "ben"),
        changed(9, "1"),
        changed(9, True),
        changed(10, b"digest"),
        *(changed(11, content) for content in (b"", b"{", b"[]", b'{"a":1', b'"a":1}', '{"a":1}')),
        changed(3, "ana").replace(b"\xa3ana", b"\xa3an\xff"),
        changed(3, "ana").replace(b"\xa3ana", b"\xa3\xed\xa0"),  # a lone surrogate, cut short
        changed(3, "anas").replace(b"\xa4anas", b"\xa3\xed\xa0\x80"),
    ],
)
def test_incomplete_record_is_unreadable(plaintext: bytes) -> None:
    """To a read, and to everything else."""
    for decode in (opened, Record.from_bytes):
        with pytest.raises(Unreadable):
            decode(plaintext)


@pytest.mark.parametrize("private", [None, [], "x", {1: 2}, {"context": []}])
def test_backend_only_fields_of_another_type_are_unreadable(private: Any) -> None:
    with pytest.raises(Unreadable):
        Record.from_bytes(changed(12, private))


@pytest.mark.parametrize("depth", [5_000, 90_000])
def test_deep_nesting_is_unreadable(depth: int) -> None:
    deep = changed(12, {})[:-1] + b"\x81\xa1a" * depth + b"\xc0"
    for decode in (opened, Record.from_bytes):
        with pytest.raises(Unreadable):
            decode(deep)


@given(st.integers(0, len(RECORD.to_bytes()) - 1))
def test_truncated_record_is_unreadable(length: int) -> None:
    for decode in (opened, Record.from_bytes):
        with pytest.raises(Unreadable):
            decode(RECORD.to_bytes()[:length])


@given(st.binary(max_size=60))
def test_arbitrary_bytes_open_or_are_unreadable(tail: bytes) -> None:
    for plaintext in (tail, RECORD.to_bytes()[:1] + tail, RECORD.to_bytes()[:20] + tail):
        for decode in (opened, Record.from_bytes):
            with suppress(Unreadable):
                decode(plaintext)


def test_operators_see_every_field_of_a_record() -> None:
    context = {"context": {"access": {"team": "red"}}}
    held = replace(RECORD, private=context, verified=True, dismissed_by=("cleo",), created=7)
    assert held.described() == {
        "organizationId": "acme",
        "notificationId": "n-1",
        "documentId": "d-1",
        "actor": "ana",
        "audience": ["ben"],
        "notifyAll": False,
        "verifyUserPermissions": True,
        "hidden": ["cleo"],
        "created": 7,
        "backendOnly": context,
        "content": {"a": 1},
    }
