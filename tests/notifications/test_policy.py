"""Readers, and the effect of a delete, for every combination that the design names."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.auth.claims import EndUser
from resolver.errors import Unavailable
from resolver.notifications.policy import Deletion, Verdict, deletion, dismiss, judge
from resolver.store.record import Record


def person(user: str, *organizations: str) -> EndUser:
    return EndUser(user, frozenset(organizations or ("acme",)))


def record(**changes: Any) -> Record:
    given = {"document": "d", "actor": "ana", "audience": ("ben", "cleo"), "everyone": False}
    return Record(organization="acme", notification="n", **{**given, **changes})


def may_read(user: str, record: Record, policy: Any) -> bool:
    return judge(user, record, policy, by_document=Verdict.SEES_DOCUMENT).reads


TO_ALL = {"everyone": True}
NARROWED = {"everyone": True, "private": {"context": {"access": {"team": "red"}}}}
VERIFIED = {"everyone": True, "verified": True}


@pytest.mark.parametrize(
    ("changes", "user", "reads"),
    [
        ({}, "ana", True),
        ({}, "ben", True),
        ({}, "zoe", False),
        (TO_ALL, "zoe", True),
        (NARROWED, "zoe", False),
        (NARROWED, "ben", True),
        (VERIFIED, "zoe", False),
        (VERIFIED, "ben", True),
        ({**TO_ALL, "dismissed_by": ("zoe",)}, "zoe", False),
        ({"dismissed_by": ("ben",)}, "ben", False),
    ],
)
def test_recipients_may_read(changes: dict[str, Any], user: str, reads: bool) -> None:
    assert may_read(user, record(**changes), "recipient") is reads


def test_organization_policy_permits_all_members_except_those_who_dismissed() -> None:
    assert may_read("zoe", record(), "organization")
    assert not may_read("zoe", record(dismissed_by=("zoe",)), "organization")


def test_document_policy_decides_by_the_document_for_all_except_those_who_dismissed() -> None:
    held = record(dismissed_by=("zoe",))
    for by_document in (Verdict.SEES_DOCUMENT, Verdict.NO_CONTEXT_ACCESS):
        assert judge("ana", held, "document", by_document) is by_document
    assert judge("ben", held, "document") is Verdict.NO_DOCUMENT_ACCESS
    assert judge("zoe", held, "document", Verdict.SEES_DOCUMENT) is Verdict.DISMISSED


@pytest.mark.parametrize(
    ("changes", "user", "expected"),
    [
        ({}, "ana", Deletion.REMOVES),
        ({}, "ben", Deletion.LEAVES),
        ({"audience": ("ben",)}, "ben", Deletion.REMOVES),
        ({"dismissed_by": ("cleo",)}, "ben", Deletion.REMOVES),
        ({}, "zoe", Deletion.NOTHING),
        ({"dismissed_by": ("ben",)}, "ben", Deletion.NOTHING),
        (TO_ALL, "zoe", Deletion.LEAVES),
        ({**TO_ALL, "audience": ("ben",)}, "ben", Deletion.LEAVES),
        ({**TO_ALL, "audience": ()}, "zoe", Deletion.LEAVES),
        ({**NARROWED, "audience": ("ben",)}, "ben", Deletion.LEAVES),
        (NARROWED, "zoe", Deletion.NOTHING),
    ],
)
def test_deletion_by_one_recipient_keeps_the_record_for_others(
    changes: dict[str, Any], user: str, expected: Deletion
) -> None:
    assert deletion(person(user), record(**changes), "recipient") is expected


@pytest.mark.parametrize(("user", "expected"), [("ana", Deletion.REMOVES), ("ben", Deletion.NOTHING)])
def test_under_the_actor_policy_only_the_actor_deletes(user: str, expected: Deletion) -> None:
    assert deletion(person(user), record(), "actor") is expected


def test_deletion_in_another_organization_does_nothing() -> None:
    assert deletion(person("ana", "zeta"), record(), "recipient") is Deletion.NOTHING


@pytest.mark.parametrize("policy", ["recipient", "organization"])
def test_person_who_dismissed_cannot_read_under_any_policy(policy: Any) -> None:
    after = dismiss("ben", record())
    assert after.audience == ("cleo",)
    assert not may_read("ben", after, policy)
    assert may_read("cleo", after, policy)


def test_filters_select_as_velts_do() -> None:
    held = record(private={"location": {"id": "loc"}})
    meant = [{}, {"documentId": "d"}, {"userId": "ben"}, {"userId": "ana"}, {"locationId": "loc"}]
    others = [
        {"documentId": "x"},
        {"userId": "zoe"},
        {"locationId": "x"},
        {"documentId": "d", "userId": "zoe"},
    ]
    assert all(map(held.matches, meant))
    assert not any(map(held.matches, others))
    assert record(everyone=True).matches({"userId": "zoe"})
    assert not record().matches({"locationId": "any"})
    assert record(private={"locationId": 7}).matches({"locationId": "7"})


def test_record_for_everyone_takes_a_thousand_dismissals() -> None:
    full = record(everyone=True, dismissed_by=tuple(f"user-{n}" for n in range(1000)))
    with pytest.raises(Unavailable):
        dismiss("zoe", full)
    assert dismiss("user-7", full) == full
    last = dismiss("zoe", record(everyone=True, dismissed_by=full.dismissed_by[:-1]))
    assert (len(last.dismissed_by), last.dismissed_by[-1]) == (1000, "zoe")


def test_record_for_named_people_takes_as_many_dismissals_as_it_has_people() -> None:
    many = record(dismissed_by=tuple(f"user-{n}" for n in range(2000)))
    assert len(dismiss("ben", many).dismissed_by) == 2001


@pytest.mark.parametrize("everyone", [True, False])
def test_dismissing_again_succeeds_however_many_have_dismissed(everyone: bool) -> None:
    """Also when an earlier version's limits were higher."""
    beyond = record(everyone=everyone, dismissed_by=tuple(f"{n:0100}" for n in range(1001)))
    assert dismiss(f"{7:0100}", beyond) == beyond


def test_dismissals_are_limited_in_bytes() -> None:
    """Under every kind of audience: an audience may change many times."""
    full = record(dismissed_by=tuple(f"{n:03}" + "\u00fc" * 250 for n in range(131)))
    with pytest.raises(Unavailable):
        dismiss("zoe", full)
    assert dismiss("zoe", record(dismissed_by=full.dismissed_by[:-1])).dismissed_by[-1] == "zoe"
    most = record(dismissed_by=tuple(f"{n:01023}" for n in range(64)))
    assert len(dismiss("z" * 64, most).dismissed_by) == 65, "64 KiB exactly"
    with pytest.raises(Unavailable):
        dismiss("z" * 65, most)
