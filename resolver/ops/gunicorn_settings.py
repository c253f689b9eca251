"""gunicorn's settings: `resolver serve`, `resolver dev` and `deploy/gunicorn.conf.py` all read this module.

A web process runs gevent's event loop: each connection is a greenlet, and a request mostly waits for Redis or
Velt. Keep-alive outlasts a load balancer's idle timeout (60 s usually): the other way round, the balancer
reuses a connection that is just being closed. TERM drains first; INT stops at once.

gunicorn's master reads this module and isn't patched: it must import nothing that uses ssl, redis, urllib3 or
jwt, or their TLS would end in RecursionError in the processes that it forks.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from resolver.config.processes import load_processes
from resolver.errors import SettingsError
from resolver.ops import draining, file_limit, metrics_folder

_MOST_CONNECTIONS = 8_000

try:
    _processes = load_processes()
except SettingsError as error:
    raise SystemExit(str(error)) from None
bind = _processes.bind
workers = _processes.web_concurrency
worker_class = "resolver.ops.web_worker.WebWorker"
worker_connections = file_limit.connections(_MOST_CONNECTIONS)
keepalive = 75
timeout = 30
graceful_timeout = 10
max_requests = 0
# Each worker builds its own pools: sockets and locks don't survive a fork.
preload_app = False
control_socket_disable = True
# Heartbeats on a disk stall with the disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# Which addresses belong to proxies is RESOLVER_TRUSTED_PROXIES's business (ProxyFix), not gunicorn's.
forwarded_allow_ips = ""
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 12 * 1024
accesslog = None
errorlog = "-"
loglevel = "warning"
logger_class = "resolver.ops.gunicorn_log.ServerLog"


def on_starting(server: Any) -> None:
    if reason := metrics_folder.provide():
        server.log.error("metrics_not_shared: %s", reason)


def on_exit(_server: Any) -> None:
    metrics_folder.withdraw()


def ssl_context(_config: Any, default: Callable[[], Any]) -> Any:
    """Make gunicorn's own context, but leave the TLS handshake to the worker, which limits its time."""
    context = default()
    context.wrap_socket = partial(context.wrap_socket, do_handshake_on_connect=False)
    return context


def when_ready(_server: Any) -> None:
    """In the master, once it listens: the first TERM begins to drain, and stops when that is over; a second
    one stops now."""
    stop = signal.getsignal(signal.SIGTERM)
    seconds, master = _processes.drain_seconds, os.getpid()

    def asked(_number: int, frame: FrameType | None) -> None:
        if os.getpid() != master:
            # A process that was forked just now still has the master's handlers. It must not begin to drain:
            # all processes would.
            raise SystemExit(0)
        if not callable(stop):
            return
        if draining.is_under_way() or not seconds:
            stop(signal.SIGTERM, frame)
            return
        draining.begin()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGALRM, asked)


def post_worker_init(worker: Any) -> None:
    """In each web process, after it has built the application and before it serves."""
    # What exists by now stays: the collector need not traverse it again and again.
    gc.collect()
    gc.freeze()
    # The benchmarks serve other applications with these settings.
    if services := getattr(worker.wsgi, "extensions", {}).get("resolver"):
        services.readiness.start()


def pre_request(_worker: Any, request: Any) -> None:
    """While draining, have each reply end its connection, whatever the client asked for."""
    if draining.is_under_way():
        request.must_close = True
