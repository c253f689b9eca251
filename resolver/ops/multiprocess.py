"""Combine the metrics of several processes: each writes files in a shared folder, and the process that is
scraped adds them up.

A process writes under a slot number, not under its pid, and a new process continues in the files of one that
ended. So counters never fall, and the folder doesn't grow with restarts. The kernel releases a slot's lock
when its process ends in any way.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from resolver.ops import metrics
from resolver.ops.metrics_folder import IN_USE, VARIABLE, lock, locked

# Reserved for each file in advance: writing to mapped memory that can't be allocated kills the process.
_ROOM = {"histogram": 512 * 1024, "counter": 64 * 1024, "gauge_livesum": 64 * 1024}
_log = structlog.get_logger(__name__)
_joined = 0
# By default the library decides from the variable alone, at import, before the folder is known to work.
values.ValueClass = values.MutexValue


def join() -> None:
    """Write this process's metrics to the shared folder, if there is one. Call it after fork and before
    anything is counted; a second call changes nothing."""
    global _joined  # noqa: PLW0603 - a process is in one company or none
    if _joined == os.getpid():
        return
    _joined = os.getpid()
    try:
        if os.environ.get(VARIABLE):
            slot = _take_slot(Path(os.environ[VARIABLE]))
            values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        metrics.begin()
    except Exception as error:  # noqa: BLE001 - a problem with the files must not prevent serving
        _stop_sharing(error)
        metrics.begin()


def collected() -> Collector:
    """Return the metrics of all processes, or of this process if there is no shared folder."""
    folder = os.environ.get(VARIABLE, "")
    if not folder or not Path(folder, IN_USE).exists():
        return metrics.REGISTRY
    for number in _free_slots(Path(folder)):
        mark_process_dead(number, folder)  # type: ignore[no-untyped-call]
    return _Files(CollectorRegistry(), folder)  # type: ignore[no-untyped-call]


class _Files(MultiProcessCollector):
    """Skips unreadable files, so that the others are still collected."""

    def collect(self) -> Iterable[Metric]:
        files = list(map(str, Path(self._path).glob("*.db")))
        try:
            return list(self.merge(files))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("metrics_unreadable", reason=type(error).__name__)
            sound = list(filter(_is_sound, files))
            return list(self.merge(sound))  # type: ignore[no-untyped-call]


def _is_sound(file: str) -> bool:
    try:
        list(MmapedDict.read_all_values_from_file(file))  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - truncated or damaged
        return False
    return True


def _take_slot(folder: Path) -> int:
    # The folder may have been removed meanwhile.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / IN_USE).touch()
    for number in itertools.count():
        try:
            lock(folder / f"slot-{number}", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        try:
            mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
            for kind, room in _ROOM.items():
                _make_room(folder / f"{kind}_{number}.db", room)
        except OSError:
            locked.pop().close()
            raise
        return number
    raise AssertionError  # unreachable: the loop doesn't end


def _make_room(file: Path, room: int) -> None:
    """Create the file atomically: a scrape may read it at any moment."""
    if file.exists() and _is_sound(str(file)):
        return
    beside = file.with_suffix(".part")
    try:
        with beside.open("wb") as made:
            os.posix_fallocate(made.fileno(), 0, room)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _free_slots(folder: Path) -> Iterator[int]:
    """Yield the slots without a process. Each is locked while the caller handles it."""
    for path in folder.glob("slot-*"):
        with suppress(OSError), path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield int(path.name.partition("-")[2])


def _stop_sharing(error: Exception) -> None:
    """Go on without the shared folder. `/metrics` then shows only the process that answers."""
    os.environ.pop(VARIABLE, None)
    values.ValueClass = values.MutexValue
    metrics.forget()
    _log.error("metrics_not_shared", reason=type(error).__name__)
