"""`resolver worker`: tells Velt what no request could."""

from __future__ import annotations

import signal
import threading

import click

from resolver import logs
from resolver.services import build_worker
from resolver.settings import load

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 0.5


@click.command()
def worker() -> None:
    """Drain the outbox until SIGTERM. `resolver serve` runs one beside the web unless RESOLVER_WORKER is
    `separate`; any number may run side by side."""
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    # Blocked here and in every thread to come: sigwait gets them, whichever thread they were delivered to.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    stop = threading.Event()
    working = build_worker(settings)
    thread = threading.Thread(target=working.run, args=(stop,), name="worker")
    thread.start()
    while thread.is_alive() and not stop.is_set():
        if signal.sigtimedwait(_STOPPING, _LOOK_SECONDS):
            stop.set()
    failed = not stop.is_set()
    stop.set()
    working.wake()
    thread.join()
    raise SystemExit(int(failed))
