"""The header of a record decides which people may read it, under every policy."""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.notifications.policy import ReadPolicy, Verdict, judge
from resolver.store.record import Record, opened

POLICIES: tuple[ReadPolicy, ...] = get_args(ReadPolicy)
# What JSON spells otherwise, what separates values in some format, and names that are parts of one another.
_PARTS = ("ana", "a", "an", "e", '"e":true', '\n"e":true', '"u":', '"\n', '\r"', "\\n", "\\u000a", "\xa3ana")
pieces = st.sampled_from([*'"\\,:[]{}\n\r\t\x00\x7f\u2028é😀', *_PARTS])
names = st.lists(pieces, min_size=1, max_size=4).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
)
accesses = st.none() | st.dictionaries(names, names, max_size=2)
people = st.lists(names, max_size=3).map(tuple)


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Plain values of a record, in which one person often stands in several places."""
    actor, audience, dismissed_by = draw(names | st.just("")), draw(people), draw(people)
    known = st.sampled_from([actor, *audience, *dismissed_by]) if actor or audience or dismissed_by else names
    access = draw(accesses)
    return {
        "actor": actor,
        "audience": (*audience, *draw(st.lists(known, max_size=1))),
        "dismissed_by": (*dismissed_by, *draw(st.lists(known, max_size=1))),
        "everyone": draw(st.booleans()),
        "verified": draw(st.booleans()),
        "private": {} if access is None else {"context": {"access": access}},
        "content": draw(st.dictionaries(names, names, max_size=2).map(orjson.dumps)),
    }


def expected(user: str, plain: dict[str, Any], policy: str) -> Verdict:
    """Say from the plain values who reads."""
    narrows = plain["private"].get("context", {}).get("access")
    named = {Verdict.ACTOR: user == plain["actor"], Verdict.ADDRESSED: user in plain["audience"]}
    if user in plain["dismissed_by"]:
        return Verdict.DISMISSED
    if policy != "recipient":
        return {"document": Verdict.SEES_DOCUMENT, "organization": Verdict.ORGANIZATION}[policy]
    if any(named.values()):
        return next(verdict for verdict, holds in named.items() if holds)
    if not plain["everyone"]:
        return Verdict.NOT_ADDRESSED
    return Verdict.NARROWED if narrows else Verdict.UNVERIFIED if plain["verified"] else Verdict.EVERYONE


def judged(user: str, record: Record, policy: ReadPolicy) -> Verdict:
    header = opened(record.to_bytes())
    return judge(user, header, policy, by_document=Verdict.SEES_DOCUMENT)


@pytest.mark.parametrize("policy", POLICIES)
@given(plain=values(), document=names, stranger=names)
def test_decoded_header_decides_as_the_plain_values_do(
    policy: ReadPolicy, plain: dict[str, Any], document: str, stranger: str
) -> None:
    record = Record("acme", "n-1", document, **plain)
    for user in {stranger, document, plain["actor"], *plain["audience"], *plain["dismissed_by"]} - {""}:
        assert judged(user, record, policy) is expected(user, plain, policy), user
        assert judge(user, record, policy, by_document=Verdict.SEES_DOCUMENT) is expected(user, plain, policy)


@given(plain=values(), user=names)
def test_fields_without_names_give_no_access(plain: dict[str, Any], user: str) -> None:
    unnamed = {**plain, "actor": "", "audience": (), "dismissed_by": (), "everyone": False}
    assert judged(user, Record(user, user, user, **unnamed), "recipient") is Verdict.NOT_ADDRESSED


def test_decision_holds_for_an_audience_of_ten_thousand() -> None:
    audience = tuple(f"user-{n}" for n in range(10_000))
    record = Record("acme", "n-1", "d", "ana", audience, False, dismissed_by=("user-9998",))
    verdicts = {user: judged(user, record, "recipient") for user in ("user-9999", "user-9998", "user-99990")}
    assert list(verdicts.values()) == [Verdict.ADDRESSED, Verdict.DISMISSED, Verdict.NOT_ADDRESSED]


@pytest.mark.parametrize("other", ["e\u0301", "É", "é ", "", "\u00e9\u200b", "é\x00"])
def test_names_are_compared_exactly(other: str) -> None:
    """No normalization, no folding of case: Velt's ids are bytes to us."""
    record = Record("acme", "n-1", "d", "\u00e9", everyone=False)
    assert judged("\u00e9", record, "recipient") is Verdict.ACTOR
    assert judged(other, record, "recipient") is Verdict.NOT_ADDRESSED
