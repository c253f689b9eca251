"""`resolver worker`: tells Velt what no request could."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import click

from resolver import logs
from resolver.errors import Unavailable
from resolver.services import build_eraser, build_stores, build_trail, build_worker
from resolver.settings import load

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.5


@click.command()
def worker() -> None:
    """Drain the outbox and carry out erasures until SIGTERM. `resolver serve` runs one beside the web unless
    RESOLVER_WORKER is `separate`; any number may run side by side."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    # Blocked here and in every thread to come: sigwait gets them, whichever thread they were delivered to.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    stop = threading.Event()
    working = build_worker(settings)
    stores = build_stores(settings)
    with suppress(Unavailable):  # the next start, or `keys rotate`, notes it
        stores.history.note_key(next(iter(settings.master_keys)))
    erasing = build_eraser(settings, stores, build_trail(settings, stores))
    threads = [
        threading.Thread(target=working.run, args=(stop,), name="worker"),
        threading.Thread(target=erasing.run, args=(stop,), name="eraser"),
    ]
    for thread in threads:
        thread.start()
    while all(thread.is_alive() for thread in threads) and not stop.is_set():
        if signal.sigtimedwait(_STOPPING, _LOOK_SECONDS):
            stop.set()
    failed = not stop.is_set()
    stop.set()
    working.wake()
    for thread in threads:
        thread.join()
    raise SystemExit(int(failed))
