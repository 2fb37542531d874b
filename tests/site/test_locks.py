"""What real threads and the hub both lock is a lock of Python's own in a worker."""

import subprocess
import sys

from tests.server import ROOT

SHOWN = """
import importlib, logging, threading
import tokenhub_site.gunicorn_conf
from asgiref.local import Local
from django.dispatch import Signal
from prometheus_client import CollectorRegistry, Counter

print(*(type(lock).__module__ for lock in (
    importlib._bootstrap._ModuleLock("any").lock,
    logging._lock,
    logging.lastResort.lock,
    logging.StreamHandler().lock,
    Signal().lock,
    object.__getattribute__(Local(), "_lock"),
    Counter("any", "", registry=None)._value._lock,
    CollectorRegistry()._lock,
    threading.Lock(),
)))
"""


def test_it_works() -> None:
    command = [sys.executable, "-W", "ignore", "-c", SHOWN]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.split() == ["_thread"] * 8 + ["gevent.thread"]
