"""The effect of a deletion on records: filters decide which ones, and what remains of each.

With a `userId` filter, only that person is taken out; the record is removed when no other is addressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from resolver.errors import Unavailable
from resolver.notifications.policy import dismiss
from resolver.outbox.sender import removal
from resolver.store.command import Entry, Place
from resolver.store.record import Record
from resolver.store.records import Changed, Held, RecordStore, Written

JSON = dict[str, Any]


class Effect(NamedTuple):
    """Effect of a deletion on one record."""

    record: Record
    remaining: Record | None
    """`record` itself when it stays as it is; None when it is removed."""

    @property
    def spared(self) -> bool:
        return self.remaining is self.record

    @property
    def kept(self) -> bool:
        """Whether it is kept for others than the person who was taken out."""
        return self.remaining is not None and not self.spared


@dataclass(frozen=True, slots=True)
class FilteredDeletion:
    """A request's filters: only records that they select may be removed, here as at Velt."""

    filters: JSON
    until: int | None = None
    """Only what was added by then (epoch milliseconds) is meant. None: anything."""

    @property
    def organization(self) -> str:
        return str(self.filters["organizationId"])

    @property
    def user(self) -> str | None:
        return self.filters.get("userId")

    @property
    def bounded(self) -> bool:
        return self.filters.keys() > {"organizationId"}

    def effect(self, record: Record) -> Effect:
        if not self._selects(record):
            return Effect(record, record)
        if self.user is None:
            return Effect(record, None)
        try:
            remaining = dismiss(self.user, record)
        except Unavailable:  # its list is full: this one fails, the others go on
            return Effect(record, record)
        return Effect(record, remaining if remaining.everyone or remaining.addressees() else None)

    def _selects(self, record: Record) -> bool:
        """Whether the filters select a record, also for a person who was taken out before: the same request
        may come twice."""
        if record.organization != self.organization or (self.until and record.created > self.until):
            return False
        return record.matches(self.filters) or (
            record.is_at(self.filters) and self.user in record.dismissed_by
        )


def change_latest(
    store: RecordStore, deletion: FilteredDeletion, id_: str, changed_by: Callable[[Effect], Changed]
) -> tuple[Effect | None, Written | None]:
    """Apply a deletion to the latest version of a record. Returns its effect and the write, if any."""
    effect: Effect | None = None

    def change(record: Record) -> Changed:
        nonlocal effect
        effect = deletion.effect(record)
        return changed_by(effect)

    written = store.change(deletion.organization, id_, change)
    return effect, written


def apply(
    store: RecordStore,
    deletion: FilteredDeletion,
    planned: Sequence[tuple[Held, Effect]],
    *,
    tells_velt: bool,
) -> list[Effect]:
    """Apply planned effects to records in one round trip, and more for records that are written meanwhile.

    `tells_velt`: queue a removal for each one. Otherwise only where commands are queued, since those would
    create the notification at Velt again.
    """
    change = partial(changed, deletion, tells_velt)
    going = [(item, effect) for item, effect in planned if not effect.spared]
    done = store.replace_all([(item, change(effect)) for item, effect in going])
    overtaken = {
        item.record.notification for (item, _), is_done in zip(going, done, strict=True) if not is_done
    }
    again = {id_: change_latest(store, deletion, id_, change)[0] for id_ in overtaken}
    latest = (again.get(effect.record.notification, effect) for _, effect in planned)
    return [effect for effect in latest if effect]


def ids_of(effects: Iterable[Effect], *, spared: bool) -> list[str]:
    return [effect.record.notification for effect in effects if effect.spared is spared]


def changed(deletion: FilteredDeletion, tells_velt: bool, effect: Effect) -> Changed:
    """The new record, and the removal for Velt."""
    id_, organization = effect.record.notification, {"organizationId": deletion.organization}
    if effect.spared:
        return effect.record, None
    if effect.remaining is None:
        place = Place.REPLACE_UNSENT if tells_velt else Place.REPLACE_IF_QUEUED
        return None, Entry(removal(id_, organization), place)
    theirs = removal(id_, {**organization, "userId": deletion.user})
    return effect.remaining, Entry(theirs, Place.APPEND if tells_velt else Place.APPEND_IF_QUEUED)
