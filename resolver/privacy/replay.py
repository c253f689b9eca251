"""Repeat erasures after a backup was restored.

A certificate holds only pseudonyms, so the people are found first: a name in a record whose pseudonym is in a
certificate belongs to a person who was erased. A person whom no record names needs no erasure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from resolver import clock
from resolver.outbox.queue import Outbox
from resolver.privacy.certificate import Pseudonymize
from resolver.privacy.erasure_request import ErasureRequest, reach
from resolver.privacy.mentions import phrases
from resolver.privacy.people import folded, texts_in
from resolver.store.record import Record
from resolver.store.records import RecordStore

JSON = dict[str, Any]
_REMEMBERED = 1 << 17
_LONGEST_NAME = 1024
"""Longer strings are text, not an id or an address."""


@dataclass
class Found:
    """Names that are still stored, by pseudonym."""

    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def find_people(
    certificates: Iterable[JSON], store: RecordStore, outbox: Outbox, pseudonym: Pseudonymize
) -> Iterator[Found | None]:
    """Yield None for each record examined, and finally the names found."""
    wanted, lengths = _pseudonyms_in(certificates)
    blind = lru_cache(_REMEMBERED)(pseudonym)
    found = Found()

    def look(names: Iterable[str]) -> None:
        for name in names:
            for form in {name, folded(name)}:
                if (digest := blind(form)) in wanted:
                    found.names[digest].add(name)

    for record in store.scan():
        look(_names(record, lengths))
        yield None
    for _, data in outbox.commands():
        look(_names(Record(str(data.get("organizationId", "")), "", "", "", private=data), lengths))
    yield found


def repeated_request(body: JSON, found: Found) -> ErasureRequest | None:
    """Rebuild the request for the people who are stored again; None if there are none."""
    subject = body["subject"]
    organizations = _names_behind(body["organizations"], found)
    request = ErasureRequest(
        id=body["erasureId"],
        by=body["askedBy"],
        asked=body["askedAt"],
        users=_names_behind(subject["users"], found),
        emails=_names_behind(subject["emails"], found),
        mentioning=_names_behind([mentioned["blinded"] for mentioned in subject["mentioned"]], found),
        organizations=organizations,
        whole=body["scope"] == "whole organizations",
        # Must not erase more than the original did.
        until=min(reach(body["askedAt"]), clock.milliseconds_of(body["finishedAt"]) + 1000),
    )
    # An erasure within organizations of which none is left must not become one in all of them.
    bounds_are_gone = body["organizations"] and not organizations
    return None if bounds_are_gone or request.problem() else request


def _names_behind(digests: Iterable[str], found: Found) -> tuple[str, ...]:
    return tuple(sorted(name for digest in digests for name in found.names.get(digest, ())))


def _pseudonyms_in(certificates: Iterable[JSON]) -> tuple[set[str], set[int]]:
    """Return the pseudonyms to search for, and the word counts of names to search texts for."""
    digests: set[str] = set()
    lengths: set[int] = set()
    for body in certificates:
        subject = body["subject"]
        digests.update(subject["users"], subject["emails"], body["organizations"])
        digests.update(mentioned["blinded"] for mentioned in subject["mentioned"])
        lengths.update(mentioned["words"] for mentioned in subject["mentioned"])
    return digests, lengths


def _names(record: Record, lengths: set[int]) -> Iterator[str]:
    yield from (record.organization, record.actor, *record.audience, *record.dismissed_by)
    for text in texts_in(record):
        if len(text) <= _LONGEST_NAME:
            yield text
            yield text.lower()
        for length in lengths:
            yield from (" ".join(phrase) for phrase in phrases(text, length))
