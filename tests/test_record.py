"""A record: header for decisions, content as bytes that are never parsed on the way out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import Unreadable
from resolver.record import Record

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


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
    "content", [{}, {"a": 1}, {"text": 'quotes " and { braces }', "deep": [{"x": None}]}]
)
def test_the_reply_has_the_content_spliced_in_under_its_id(content: dict[str, Any]) -> None:
    record = Record("acme", 'n"1', "doc", "ana", content=orjson.dumps(content))
    reply = orjson.loads(b"{" + record.reply_json() + b"}")
    assert reply == {'n"1': {"notificationId": 'n"1', **content}}


@pytest.mark.parametrize(
    "plaintext", [b"", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\xff{}", b"\x00\x00\x00\x02[]"]
)
def test_bytes_that_are_no_record_are_unreadable(plaintext: bytes) -> None:
    with pytest.raises(Unreadable):
        Record.from_bytes(plaintext)
