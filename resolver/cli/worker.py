"""`resolver worker`: tells Velt what no request could."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

import click

from resolver.app import create_app
from resolver.cli.listening import listening
from resolver.config import Settings, load
from resolver.errors import Unavailable
from resolver.ops import logs, multiprocess
from resolver.wiring import build_eraser, build_stores, build_trail, build_worker

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.5


@click.command()
@click.option("--bind", metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz at this address.")
@click.option("--parent", type=int, hidden=True, help="Stop when this process is no longer the parent.")
def worker(bind: str | None, parent: int | None) -> None:
    """Empty the outbox and carry out erasures until SIGTERM. `resolver serve` runs one beside the web unless
    RESOLVER_WORKER is `separate`; any number may run side by side."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    multiprocess.join()
    # Not an Event: a handler that runs while the main thread holds the event's own lock would wait for ever.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in _STOPPING:
        signal.signal(number, lambda number, _frame: signals.put(number))
    with ExitStack() as stack:
        if bind:
            asked = create_app(replace(settings, surfaces=frozenset({"metrics"})))
            asked.extensions["resolver"].readiness.start()
            stack.enter_context(listening(bind, asked))
        ended_well = _work(settings, partial(_is_asked_to_stop, signals, parent))
    raise SystemExit(int(not ended_well))


def _is_asked_to_stop(signals: SimpleQueue[int], parent: int | None) -> bool:
    """Wait a moment for a signal; also true once the parent has ended, however it did."""
    with suppress(Empty):
        signals.get(timeout=_LOOK_SECONDS)
        return True
    return parent is not None and os.getppid() != parent


def _work(settings: Settings, is_asked_to_stop: Callable[[], bool]) -> bool:
    """Until it is asked to stop, which is well, or one of the threads ends by itself, which isn't."""
    working = build_worker(settings)
    stores = build_stores(settings)
    with suppress(Unavailable):  # the next start, or `keys rotate`, notes it
        stores.history.note_key(next(iter(settings.master_keys)))
    erasing = build_eraser(settings, stores, build_trail(settings, stores))
    stop = threading.Event()
    threads = [_thread(working.run, stop), _thread(erasing.run, stop)]
    while all(thread.is_alive() for thread in threads) and not stop.is_set():
        if is_asked_to_stop():
            stop.set()
    ended_well = stop.is_set()
    stop.set()
    working.wake()
    for thread in threads:
        thread.join()
    return ended_well


def _thread(run: Callable[[threading.Event], None], stop: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    return thread
