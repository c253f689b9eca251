"""Key names: fixed length, unreadable, injective, and spread over the partitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resolver.config.secret import Secret
from resolver.store.keyspace import PARTITIONS, Keyspace, partition_of

KEYSPACE = Keyspace(Secret(bytes(range(32))))


def test_a_name_shows_neither_organization_nor_id() -> None:
    name = KEYSPACE.record("acme-organization", "ben-notification")
    assert "acme" not in name
    assert "ben" not in name


def test_every_name_has_the_same_length() -> None:
    names = [KEYSPACE.record("o" * n, "n" * (512 - n)) for n in range(1, 512, 37)]
    assert len({len(name) for name in names}) == 1


def test_name_depends_on_the_border_between_organization_and_id() -> None:
    assert KEYSPACE.record("ab", "c") != KEYSPACE.record("a", "bc")


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_different_pairs_have_different_names(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (KEYSPACE.record(*one) == KEYSPACE.record(*other)) == (one == other)


def test_another_index_key_gives_another_name() -> None:
    assert Keyspace(Secret(b"x" * 32)).record("acme", "n") != KEYSPACE.record("acme", "n")


def test_one_organization_is_spread_over_every_partition() -> None:
    names = {partition_of(KEYSPACE.record("acme", str(n))) for n in range(2000)}
    assert names == {f"{{p{n:02d}}}" for n in range(PARTITIONS)}
