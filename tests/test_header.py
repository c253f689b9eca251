"""Who may read is told from a header's bytes: no name may pass for another, whatever is in it."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from resolver.access.policy import Verdict, judge
from resolver.header import Traces
from resolver.record import Record, opened

# What JSON spells otherwise, what stands between names in a header, and parts of one.
_PARTS = ("ana", "a", "e", '"e":true', '\n"e":true', '"u":', '"\n', '\r"', "\\n", "\\r", "\\u000a")
pieces = st.sampled_from([*'"\\,:[]{}\n\r\t\x00\x7f\u2028é😀', *_PARTS])
names = st.lists(pieces, min_size=1, max_size=4).map("".join)
records = st.builds(
    Record,
    organization=names,
    notification=names,
    document=names,
    actor=names | st.just(""),
    audience=st.lists(names, max_size=3).map(tuple),
    everyone=st.booleans(),
    verified=st.booleans(),
    hidden=st.lists(names, max_size=3).map(tuple),
    created=st.integers(0, 2**50),
    private=st.dictionaries(names, names, max_size=2)
    | st.just({"context": {"access": {"team": "red"}}})
    | st.just({"context": {"access": {}}}),
    content=st.dictionaries(names, names, max_size=2).map(orjson.dumps),
)


def expected(user: str, record: Record) -> Verdict:
    if user in record.hidden:
        return Verdict.HIDDEN
    if user == record.actor:
        return Verdict.ACTOR
    if user in record.audience:
        return Verdict.ADDRESSED
    if not record.everyone:
        return Verdict.NOT_ADDRESSED
    if record.access():
        return Verdict.NARROWED
    return Verdict.UNVERIFIED if record.verified else Verdict.EVERYONE


@given(records, names)
def test_what_the_header_tells_is_what_the_record_says(record: Record, stranger: str) -> None:
    header, _ = opened(record.to_bytes())
    for user in {stranger, record.document, *record.audience, *record.hidden, *filter(None, [record.actor])}:
        assert judge(Traces.of(user), header, "recipient") is expected(user, record), user


@given(records, names)
def test_content_and_other_fields_never_name_anybody(record: Record, user: str) -> None:
    nobody = record._replace(actor="", audience=(), hidden=(), everyone=False)
    header, _ = opened(nobody.to_bytes())
    assert judge(Traces.of(user), header, "recipient") is Verdict.NOT_ADDRESSED


@given(records)
def test_earlier_versions_read_it(record: Record) -> None:
    """They take it for any other JSON; side by side with this one they must find the same."""
    found = orjson.loads(record.header())
    assert (found["o"], found["n"], found.get("u", "")) == (
        record.organization,
        record.notification,
        record.actor,
    )
    assert tuple(found.get("a", ())) == record.audience
    assert tuple(found.get("h", ())) == record.hidden
    assert (found.get("e", False), found.get("v", False)) == (record.everyone, record.verified)
    assert found.get("p", {}) == record.private


@given(records)
def test_what_earlier_versions_stored_is_told_alike(record: Record) -> None:
    stored: dict[str, Any] = {
        "o": record.organization,
        "n": record.notification,
        "d": record.document,
        "u": record.actor,
        "a": record.audience,
        "e": record.everyone,
        "v": record.verified,
        "h": record.hidden,
        "c": record.created,
        "q": record.request,
        "p": dict(record.private),
    }
    header = orjson.dumps({name: value for name, value in stored.items() if value})
    plaintext = len(header).to_bytes(4, "big") + header + record.content
    assert opened(plaintext) == opened(record.to_bytes())
    assert Record.from_bytes(plaintext) == record


def test_names_are_spelt_as_they_always_were() -> None:
    """In this spelling they are looked for in what is stored: with another, who left would be back."""
    name = '"\\/\b\t\n\f\r\x00\x1f\x7f<é\u2028😀'
    spelt = b'"\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\x7f<' + "é\u2028😀".encode() + b'"'
    assert Traces.of(name) == (b'{\n"u":\n%b\n' % spelt, b"\n%b\n" % spelt, b"\r%b\r" % spelt)
