"""gunicorn's settings: `resolver serve`, `resolver dev` and `deploy/gunicorn.conf.py` all read this module.

A web process runs gevent's event loop: each connection is a greenlet, and a request mostly waits for Redis or
Velt. Keep-alive must be longer than a load balancer's idle timeout (usually 60 s), or the balancer would
reuse a connection that is being closed. SIGTERM drains first; SIGINT stops at once.

gunicorn's master reads this module and isn't patched by gevent. It must import nothing that uses ssl, redis,
urllib3 or jwt: their TLS would fail with RecursionError in the processes that it forks.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from resolver.config.processes import load_processes
from resolver.errors import SettingsError
from resolver.ops import draining, metrics_folder
from resolver.ops.listeners import ignore_new_connections

_MOST_CONNECTIONS = 8_000
_OTHER_FILES = 200
"""Files besides client connections: connections to Redis and Velt, logs, metrics, libraries."""


def _raise_file_limit() -> int:
    """Raise the soft limit to the hard limit, for this process and its children. Return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # a sandbox forbids it
        return soft
    return hard


def _fitting(connections: int) -> int:
    """Return how many connections a process may accept: without a free file, accepting fails."""
    files = _raise_file_limit()
    return connections if files == resource.RLIM_INFINITY else max(1, min(connections, files - _OTHER_FILES))


try:
    _processes = load_processes()
except SettingsError as error:
    raise SystemExit(str(error)) from None
bind = _processes.bind
workers = _processes.web_concurrency
worker_class = "resolver.ops.web_worker.WebWorker"
worker_connections = _fitting(_MOST_CONNECTIONS)
keepalive = 75
timeout = 30
graceful_timeout = 10
max_requests = 0
# Each process builds its own pools: sockets and locks don't survive a fork.
preload_app = False
control_socket_disable = True
# On a disk, gunicorn's heartbeats would stall with the disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# RESOLVER_TRUSTED_PROXIES decides which addresses are proxies' (ProxyFix), not gunicorn.
forwarded_allow_ips = ""
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 12 * 1024
accesslog = None
errorlog = "-"
loglevel = "warning"
logger_class = "resolver.ops.gunicorn_log.ServerLog"


def on_starting(server: Any) -> None:
    if reason := metrics_folder.create():
        server.log.error("metrics_not_shared: %s", reason)


def on_exit(_server: Any) -> None:
    metrics_folder.remove()


def ssl_context(_config: Any, default: Callable[[], Any]) -> Any:
    """Build gunicorn's context, but leave the TLS handshake to the worker, which limits its time."""
    context = default()
    context.wrap_socket = partial(context.wrap_socket, do_handshake_on_connect=False)
    return context


def when_ready(server: Any) -> None:
    """Install the master's signal handlers, once it listens. The first SIGTERM drains and then stops; a
    second one stops at once."""
    stop = signal.getsignal(signal.SIGTERM)
    seconds, master = _processes.drain_seconds, os.getpid()

    def asked(_number: int, frame: FrameType | None) -> None:
        if os.getpid() != master:
            # A newly forked process still has the master's handlers. It must not start draining: that would
            # drain all processes.
            raise SystemExit(0)
        if not callable(stop):
            return
        if draining.is_under_way() or not seconds:
            if _is_last_master(server):
                ignore_new_connections(server.LISTENERS)
            stop(signal.SIGTERM, frame)
            return
        draining.begin()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGALRM, asked)


def _is_last_master(server: Any) -> bool:
    """Whether no other process uses the listening sockets afterwards: neither another master nor systemd."""
    return not (server.reexec_pid or server.master_pid or server.systemd)


def post_worker_init(worker: Any) -> None:
    """Prepare a web process, after it has built the application and before it serves."""
    # Existing objects live as long as the process: keep the collector from traversing them.
    gc.collect()
    gc.freeze()
    # The benchmarks serve other applications with these settings.
    if services := getattr(worker.wsgi, "extensions", {}).get("resolver"):
        services.readiness.start()


def pre_request(_worker: Any, request: Any) -> None:
    """While draining, end the connection after each reply, even if the client asked to keep it."""
    if draining.is_under_way():
        request.must_close = True
