"""How gunicorn runs the gateway: gevent workers that hold many slow streams and are never recycled."""

# ruff: noqa: E402 - patching comes before every import that could bind a blocking socket, lock or select
from gevent import monkey

monkey.patch_all()

from tokenhub_site import locks

locks.keep_native()

import os
import select
import sys
from typing import Any

import gevent
import gevent.select
from psycopg import waiting

from tokenhub_site import logs, metering
from tokenhub_site.variables import address, choice, faults, whole

if _found := faults():
    sys.exit(" ".join(map(str, _found)))

wsgi_app = "tokenhub_site.wsgi:application"
bind = [each for each in (os.environ.get("TOKENHUB_BIND", "0.0.0.0:8080"), address("TOKENHUB_METRICS_BIND")) if each]
worker_class = "tokenhub_site.worker.GatewayWorker"
workers = whole("WEB_CONCURRENCY")
worker_connections = whole("TOKENHUB_WORKER_CONNECTIONS")
backlog = 2048
keepalive = whole("TOKENHUB_KEEPALIVE_SECONDS")
preload_app = False  # after a fork, threads, pools and connections of the parent are dead
max_requests = 0  # a recycled worker cuts its long streams
timeout = whole("TOKENHUB_WORKER_TIMEOUT")
graceful_timeout = whole("TOKENHUB_GRACEFUL_TIMEOUT")
lame_duck = whole("TOKENHUB_LAME_DUCK_SECONDS")
drain_deadline = whole("TOKENHUB_DRAIN_SECONDS")
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - the heartbeat file stays in memory
control_socket_disable = True
accesslog = None  # the gateway writes its own line a request
errorlog = "-"
logger_class = "tokenhub_site.server_log.ServerLog"
loglevel = choice("TOKENHUB_LOG_LEVEL").lower()


def on_starting(server: Any) -> None:
    """Make room for what the workers count."""
    metering.begin(server)


def pre_fork(server: Any, worker: Any) -> None:
    """Give a new worker a place to count."""
    metering.seat(worker, list(server.WORKERS.values()))


def post_fork(server: Any, worker: Any) -> None:
    """Let a new worker count there."""
    metering.join(worker)


def child_exit(server: Any, worker: Any) -> None:
    """Forget how a worker was that has ended."""
    metering.leave(server, worker)


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    metering.over()


def post_worker_init(worker: Any) -> None:
    """Refuse what blocks the hub or is no setting: an exception before a worker has booted ends the server."""
    logs.tell_of_strays(gevent.get_hub())
    if found := faults():  # by now the settings have read .env, which a gunicorn started by hand had not
        raise RuntimeError(" ".join(map(str, found)))
    if select.select is not gevent.select.select:
        raise RuntimeError("select is not patched: something was imported before gevent's patches.")
    if waiting.wait is waiting.wait_c:
        raise RuntimeError(
            "psycopg waits in C and would block the worker's requests: it was imported before gevent's patches."
        )
