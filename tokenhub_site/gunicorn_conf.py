"""How gunicorn runs the gateway: gevent workers that hold many slow streams and are never recycled."""

# ruff: noqa: E402 - patching comes before every import that could bind a blocking socket, lock or select
from gevent import monkey

monkey.patch_all()

import os
import select
import sys
from typing import Any

import gevent.select
from psycopg import waiting


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        sys.exit(f"{name} must be a whole number, not {text!r}.")
    return int(text) if text else default


wsgi_app = "tokenhub_site.wsgi:application"
bind = os.environ.get("TOKENHUB_BIND", "0.0.0.0:8080")
worker_class = "tokenhub_site.worker.GatewayWorker"
workers = _number("WEB_CONCURRENCY", len(os.sched_getaffinity(0)))
worker_connections = _number("TOKENHUB_WORKER_CONNECTIONS", 10_000)
backlog = 2048
keepalive = _number("TOKENHUB_KEEPALIVE_SECONDS", 75)
preload_app = False  # after a fork, threads, pools and connections of the parent are dead
max_requests = 0  # a recycled worker cuts its long streams
timeout = _number("TOKENHUB_WORKER_TIMEOUT", 60)
graceful_timeout = _number("TOKENHUB_GRACEFUL_TIMEOUT", 330)
drain_deadline = _number("TOKENHUB_DRAIN_SECONDS", 300)
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - the heartbeat file stays in memory
control_socket_disable = True
accesslog = None  # the gateway writes its own line a request
errorlog = "-"
loglevel = os.environ.get("TOKENHUB_LOG_LEVEL", "info").lower()

if drain_deadline >= graceful_timeout:
    sys.exit(
        f"TOKENHUB_DRAIN_SECONDS ({drain_deadline}) must be below TOKENHUB_GRACEFUL_TIMEOUT ({graceful_timeout}):"
        " streams are ended in good order before gunicorn kills their worker."
    )


def post_worker_init(worker: Any) -> None:
    """Refuse to serve with anything that blocks the hub: an exception before a worker has booted ends the server."""
    if select.select is not gevent.select.select:
        raise RuntimeError("select is not patched: something was imported before gevent's patches.")
    if waiting.wait is waiting.wait_c:
        raise RuntimeError("psycopg waits in C and would block the worker's requests: unset PSYCOPG_WAIT_FUNC.")
