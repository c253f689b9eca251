"""gunicorn's settings: `resolver serve`, `resolver dev` and `deploy/gunicorn.conf.py` all read this module.

Threads, because a request mostly waits for Redis or Velt. Keep-alive outlasts a balancer's idle timeout
(60 s usually): the other way round, the balancer reuses a connection that is just being closed.
"""

from __future__ import annotations

import os
from pathlib import Path

from resolver.services import THREADS

bind = os.environ.get("RESOLVER_BIND", "").strip() or "127.0.0.1:8080"
workers = int(os.environ.get("WEB_CONCURRENCY", "").strip() or os.cpu_count() or 1)
worker_class = "gthread"
threads = THREADS
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
