"""A record: header for decisions, content as bytes that are never parsed on the way out."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import Unreadable
from resolver.record import Record

# Characters that JSON spells otherwise, or that stand between names in a header.
nasty = st.text('"\\,:[]{}\n\r\t\x00\x7f\u2028ab', min_size=1, max_size=4)
names = nasty | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    st.builds(
        Record,
        organization=names,
        notification=names,
        document=names,
        actor=names,
        audience=st.lists(names, max_size=3).map(tuple),
        everyone=st.booleans(),
        verified=st.booleans(),
        hidden=st.lists(names, max_size=3).map(tuple),
        created=st.integers(0, 2**50),
        private=st.dictionaries(names, names, max_size=2),
        content=st.dictionaries(names, names, max_size=3).map(orjson.dumps),
    )
)
def test_it_survives_the_way_to_bytes_and_back(record: Record) -> None:
    assert Record.from_bytes(record.to_bytes()) == record


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\xff{}",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02{\n",
        b"\x00\x00\x00\x20{\n}{}",
    ],
)
def test_bytes_that_are_no_record_are_unreadable(plaintext: bytes) -> None:
    with pytest.raises(Unreadable):
        Record.from_bytes(plaintext)
